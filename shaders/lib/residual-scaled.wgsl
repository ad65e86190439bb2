// residual without an output norm: the block output y, scaled.
@group(0) @binding(0) var<storage, read> y: array<vec4f>; // [tokens, quads]

fn output_scale(row: u32, lane: u32) -> f32 { return params.residual_scale; }
fn residual(row: u32, quad: u32, scale: f32) -> vec4f { return y[row + quad] * scale; }
