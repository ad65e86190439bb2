// weight4 of a Q4_K matrix: d * scale * code - d_min * minimum. Planes, in words a block of 64 quads: codes (32), scales
// and minima (3), f16 d and d_min (1).
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let blocks = quads / 64u;
  let block = quad / 64u;
  let j = quad % 64u;
  let run = j / 8u;
  let codes = (word(base + block * 32u + run / 2u * 8u + j % 8u) >> (run % 2u * 4u)) & 0x0f0f0f0fu;
  let at = base + blocks * 32u + block * 3u;
  let d = halves(word(base + blocks * 35u + block));
  let scales = d * scale_and_minimum(vec3u(word(at), word(at + 1u), word(at + 2u)), run);
  return vec4f(unpack4xU8(codes)) * scales.x - scales.y;
}
