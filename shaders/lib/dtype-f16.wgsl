// weight4 of an F16 matrix: two words a quad. unpack2x16float is exact, subnormals included where the device keeps them.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let at = base + quad * 2u;
  return vec4f(unpack2x16float(word(at)), unpack2x16float(word(at + 1u)));
}
