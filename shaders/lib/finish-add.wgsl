// What becomes of a product: it is added to what the output holds.
fn finish(segment: u32, token: u32, row: u32, at: u32, sum: f32) -> f32 { return out[at] + sum; }
