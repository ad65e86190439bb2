// weight4 of a BF16 matrix: two words a quad; a bfloat16 is the upper half of the float with the same value.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let low = word(base + quad * 2u);
  let high = word(base + quad * 2u + 1u);
  return bitcast<vec4f>(vec4u(low << 16u, low & 0xffff0000u, high << 16u, high & 0xffff0000u));
}
