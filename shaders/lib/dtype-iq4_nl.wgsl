// weight4 of an IQ4_NL matrix: scale * value[code]. Planes: codes (4 words a block of 8 quads), f16 scales.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  // -127 -104 -83 -65, -49 -35 -22 -10, 1 13 25 38, 53 69 89 113: signed bytes, the lowest first
  const VALUES = vec4u(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u);
  let block = quad / 8u;
  let j = quad % 8u;
  let codes = unpack4xU8((word(base + block * 4u + j % 4u) >> (j & 4u)) & 0x0f0f0f0fu);
  let group = vec4u(VALUES[codes.x / 4u], VALUES[codes.y / 4u], VALUES[codes.z / 4u], VALUES[codes.w / 4u]);
  let values = bitcast<vec4i>(group << (vec4u(24u) - codes % 4u * 8u)) >> vec4u(24u);
  let scale = half(word(base + quads / 8u * 4u + block / 2u), block);
  return vec4f(values) * scale;
}
