// weight4 of a Q3_K matrix: d * scale * (code - 4). Planes, in words a block of 64 quads: low bits (16), high bit (8),
// scales (3), f16 d.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let blocks = quads / 64u;
  let block = quad / 64u;
  let j = quad % 64u;
  let low = (word(base + block * 16u + j / 32u * 8u + j % 8u) >> (j / 8u % 4u * 2u)) & 0x03030303u;
  let high = (word(base + blocks * 16u + block * 8u + j % 8u) >> (j / 8u)) & 0x01010101u;
  let run = j / 4u;
  let scales = base + blocks * 24u + block * 3u;
  let d = half(word(base + blocks * 27u + block / 2u), block);
  let scale = d * scale_of_16(word(scales + run / 4u % 2u), word(scales + 2u), run);
  return (vec4f(unpack4xU8(low | (high << 2u))) - 4.0) * scale;
}
