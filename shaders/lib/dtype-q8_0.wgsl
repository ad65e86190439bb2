// weight4 of a Q8_0 matrix: word i holds four signed bytes; after `quads` words a plane of f16 scales, one per 8 quads.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let block = quad / 8u;
  let scales = unpack2x16float(word(base + quads + block / 2u));
  let scale = select(scales.x, scales.y, (block & 1u) == 1u);
  return vec4f(unpack4xI8(word(base + quad))) * scale;
}
