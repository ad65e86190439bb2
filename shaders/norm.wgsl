// Residual add and the next block's input norm: x_out = x_in + residual(y); h = RMSNorm(x_out) * input_gain.
// What `residual` is comes from a fragment: nothing, y, y scaled, or RMSNorm(y) * output_gain.
// A workgroup owns one token. in: x_in [tokens, quads], y; out: x_out, h [tokens, quads]. Padding columns stay zero.
// reads 2 and writes 2 rows of 16 * quads bytes a token (one read less in the first layer).
struct Params { cols: u32, quads: u32, eps: f32, residual_scale: f32 }

override WG: u32 = 64;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x_in: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> x_out: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4f>;
@group(0) @binding(4) var<storage, read> input_gain: array<vec4f>; // [quads]

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * params.quads;
  let y_scale = output_scale(row, lane);
  var squares = 0.0;
  for (var quad = lane; quad < params.quads; quad += WG) {
    let value = x_in[row + quad] + residual(row, quad, y_scale);
    x_out[row + quad] = value;
    squares += dot(value, value);
  }
  let scale = inverseSqrt(reduce_sum(squares, lane) / f32(params.cols) + params.eps);
  for (var quad = lane; quad < params.quads; quad += WG) {
    h[row + quad] = x_out[row + quad] * scale * input_gain[quad];
  }
}
