// Prefill: out[t, out_at + r] = x[t] . weights[r] for many tokens t and all rows r of one matrix.
// Grid: x = rows / 32, y = tokens / 32. A workgroup owns a 32 x 32 tile (lib/tile.wgsl).
// in:  x [tokens, x_stride] f32 quads from quad x_at; weights [rows, quads] by fragment
// out: out [tokens, out_stride] f32; `finish`, a fragment, says what is added to a product, or it is added to
// reads the stored matrix once per 32 tokens; writes 4 bytes a result.
struct Params {
  quads: u32,
  rows: u32,
  x_at: u32,
  x_stride: u32,
  out_at: u32,
  out_stride: u32,
  out_scale: f32,
  gate_at: u32,
  gate_stride: u32,
}
struct Step { pos: u32, tokens: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first_row = group.x * TILE;
  let first_token = group.y * TILE;
  let quads = params.rows * params.quads;
  var sums = tile_clear();
  for (var step_at = 0u; step_at < params.quads; step_at += STEP) {
    for (var i = thread; i < TILE * STEP; i += 64u) {
      let q = step_at + i % STEP;
      let token = first_token + i / STEP;
      let row = first_row + i / STEP;
      tile_inputs[i] = vec4f(0.0);
      tile_weights[i] = vec4f(0.0);
      if (q < params.quads && token < step.tokens) {
        tile_inputs[i] = x[token * params.x_stride + params.x_at + q];
      }
      if (q < params.quads && row < params.rows) {
        tile_weights[i] = weight4(0u, quads, row * params.quads + q);
      }
    }
    workgroupBarrier();
    sums = tile_add(sums, thread);
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    let token = first_token + i * 8u + thread / 8u;
    for (var j = 0u; j < 4u; j++) {
      let row = first_row + j * 8u + thread % 8u;
      if (token < step.tokens && row < params.rows) {
        let at = token * params.out_stride + params.out_at + row;
        out[at] = finish(0u, token, row, at, sums.rows[i][j]);
      }
    }
  }
}
