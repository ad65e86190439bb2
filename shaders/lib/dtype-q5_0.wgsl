// weight4 of a Q5_0 matrix: scale * (code - 16). Planes: low bits (4 words a block of 8 quads), high bits (1), f16 scales.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let blocks = quads / 8u;
  let block = quad / 8u;
  let j = quad % 8u;
  let low = (word(base + block * 4u + j % 4u) >> (j & 4u)) & 0x0f0f0f0fu;
  let high = spread4(word(base + blocks * 4u + block) >> (j * 4u));
  let scale = half(word(base + blocks * 5u + block / 2u), block);
  return (vec4f(unpack4xU8(low | (high << 4u))) - 16.0) * scale;
}
