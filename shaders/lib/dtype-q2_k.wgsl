// weight4 of a Q2_K matrix: d * scale * code - d_min * minimum. Planes, in words a block of 64 quads: codes (16), scales
// and minima (4), f16 d and d_min (1).
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let blocks = quads / 64u;
  let block = quad / 64u;
  let j = quad % 64u;
  let codes = (word(base + block * 16u + j / 32u * 8u + j % 8u) >> (j / 8u % 4u * 2u)) & 0x03030303u;
  let packed = word(base + blocks * 16u + block * 4u + j / 16u) >> (j / 4u % 4u * 8u);
  let d = halves(word(base + blocks * 20u + block));
  return vec4f(unpack4xU8(codes)) * (d.x * f32(packed & 15u)) - d.y * f32((packed >> 4u) & 15u);
}
