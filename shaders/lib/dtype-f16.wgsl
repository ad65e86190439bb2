// weight4 of an F16 matrix: two words a quad.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let at = base + quad * 2u;
  return vec4f(halves(word(at)), halves(word(at + 1u)));
}
