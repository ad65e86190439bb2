// Prefill: the products of head-matvec.wgsl and head-matvec-columns.wgsl for many tokens.
// Grid: x = num_heads * outputs / 32, y = tokens / 32. A workgroup owns a 32 x 32 tile (lib/tile.wgsl) of one head;
// `stage_weights`, a fragment, says whether outputs are the head's rows or its columns.
// in:  x f32: head h's vector of token t, `cols` long, from t * x_token_stride + x_at + h * x_stride
//      weights [num_heads * row_stride, quads] by fragment
// out: out f32: head h's `outputs` of token t from t * out_token_stride + h * out_stride
// reads the used rows once per 32 tokens; writes 4 bytes a result.
struct Params {
  num_heads: u32,
  outputs: u32,
  row_stride: u32,
  first_row: u32,
  quads: u32,
  cols: u32,
  x_at: u32,
  x_stride: u32,
  x_token_stride: u32,
  out_stride: u32,
  out_token_stride: u32,
}
struct Step { pos: u32, tokens: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tiles = (params.outputs + TILE - 1u) / TILE;
  let head = group.x / tiles;
  let first_output = group.x % tiles * TILE;
  let first_token = group.y * TILE;
  let input_quads = (params.cols + 3u) / 4u;
  var sums = tile_clear();
  for (var step_at = 0u; step_at < input_quads; step_at += STEP) {
    for (var i = thread; i < TILE * STEP; i += 64u) {
      let q = step_at + i % STEP;
      let token = first_token + i / STEP;
      tile_inputs[i] = vec4f(0.0);
      if (q < input_quads && token < step.tokens) {
        tile_inputs[i] = head_input4(token * params.x_token_stride + params.x_at + head * params.x_stride, q);
      }
    }
    stage_weights(head, first_output, step_at, thread);
    workgroupBarrier();
    sums = tile_add(sums, thread);
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    let token = first_token + i * 8u + thread / 8u;
    for (var j = 0u; j < 4u; j++) {
      let output = first_output + j * 8u + thread % 8u;
      if (token < step.tokens && output < params.outputs) {
        out[token * params.out_token_stride + head * params.out_stride + output] = sums.rows[i][j];
      }
    }
  }
}
