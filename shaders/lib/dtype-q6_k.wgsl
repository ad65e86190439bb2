// weight4 of a Q6_K matrix: d * scale * (code - 32). Planes, in words a block of 64 quads: low bits (32), high bits (16),
// scales (4, signed bytes), f16 d.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let blocks = quads / 64u;
  let block = quad / 64u;
  let j = quad % 64u;
  let run = j / 8u;
  let low = (word(base + block * 32u + j / 32u * 16u + j % 16u) >> (run / 2u % 2u * 4u)) & 0x0f0f0f0fu;
  let high = (word(base + blocks * 32u + block * 16u + j / 32u * 8u + j % 8u) >> (run % 4u * 2u)) & 0x03030303u;
  let scales = word(base + blocks * 48u + block * 4u + j / 16u);
  let scale = f32(bitcast<i32>(scales << (24u - j / 4u % 4u * 8u)) >> 24u);
  let d = half(word(base + blocks * 52u + block / 2u), block);
  return (vec4f(unpack4xU8(low | (high << 4u))) - 32.0) * (d * scale);
}
