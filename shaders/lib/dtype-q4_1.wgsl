// weight4 of a Q4_1 matrix: scale * code + minimum. Planes: codes (4 words a block of 8 quads), f16 scale and minimum.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let block = quad / 8u;
  let j = quad % 8u;
  let codes = (word(base + block * 4u + j % 4u) >> (j & 4u)) & 0x0f0f0f0fu;
  let scales = halves(word(base + quads / 8u * 4u + block));
  return vec4f(unpack4xU8(codes)) * scales.x + scales.y;
}
