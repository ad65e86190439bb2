// residual of the first norm: there is no block output to add yet.
fn output_scale(row: u32, lane: u32) -> f32 { return 0.0; }

fn residual(row: u32, quad: u32, scale: f32) -> vec4f { return vec4f(0.0); }
