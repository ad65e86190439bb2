// What becomes of a product: it is scaled.
fn finish(segment: u32, token: u32, row: u32, at: u32, sum: f32) -> f32 { return sum * params.out_scale; }
