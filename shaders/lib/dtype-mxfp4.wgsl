// weight4 of an MXFP4 matrix: 2^(e - 128) * value[code], e a byte a block. Planes: codes (4 words a block of 8 quads), e.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  const MAGNITUDES = vec4u(0xc8643210u); // 0 1 2 3 4 6 8 12 by code % 8, the lowest nibble first; code / 8 is the sign
  let block = quad / 8u;
  let j = quad % 8u;
  let codes = unpack4xU8((word(base + block * 4u + j % 4u) >> (j & 4u)) & 0x0f0f0f0fu);
  let magnitudes = vec4i((MAGNITUDES >> (codes % 8u * 4u)) & vec4u(15u));
  let values = vec4f(select(magnitudes, -magnitudes, codes > vec4u(7u)));
  let e = (word(base + quads / 8u * 4u + block / 4u) >> (block % 4u * 8u)) & 0xffu;
  // 2^-127 and 2^-128 are subnormal and may be flushed to zero: the rest of them goes into the values.
  let rest = select(select(1.0, 0.5, e == 1u), 0.25, e == 0u);
  return values * rest * bitcast<f32>((max(e, 2u) - 1u) << 23u);
}
