// weight4 of an F32 matrix: quad `quad` of the matrix whose first word is `base` and which has `quads` quads in all.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let at = base + quad * 4u;
  return bitcast<vec4f>(vec4u(word(at), word(at + 1u), word(at + 2u), word(at + 3u)));
}
