// What becomes of a product: its positive part, squared.
fn finish(segment: u32, token: u32, row: u32, at: u32, sum: f32) -> f32 {
  let positive = max(sum, 0.0);
  return positive * positive;
}
