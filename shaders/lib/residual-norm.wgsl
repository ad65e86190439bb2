// residual with an output norm: RMSNorm of the block output y.
@group(0) @binding(0) var<storage, read> y: array<vec4f>; // [tokens, quads]
@group(0) @binding(1) var<storage, read> output_gain: array<vec4f>; // [quads]

fn output_scale(row: u32, lane: u32) -> f32 {
  var squares = 0.0;
  for (var quad = lane; quad < params.quads; quad += WG) {
    let value = y[row + quad];
    squares += dot(value, value);
  }
  return inverseSqrt(reduce_sum(squares, lane) / f32(params.cols) + params.eps);
}

fn residual(row: u32, quad: u32, scale: f32) -> vec4f { return y[row + quad] * scale * output_gain[quad]; }
