// weight4 of a Q8_0 matrix: word i holds four signed bytes; after `quads` words a plane of f16 scales, one per 8 quads.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let block = quad / 8u;
  let scale = half(word(base + quads + block / 2u), block);
  return vec4f(unpack4xI8(word(base + quad))) * scale;
}
