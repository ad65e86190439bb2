// weight4 of a Q4_0 matrix: scale * (code - 8). Planes: codes (4 words a block of 8 quads), f16 scales.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let block = quad / 8u;
  let j = quad % 8u;
  let codes = (word(base + block * 4u + j % 4u) >> (j & 4u)) & 0x0f0f0f0fu;
  let scale = half(word(base + quads / 8u * 4u + block / 2u), block);
  return (vec4f(unpack4xU8(codes)) - 8.0) * scale;
}
