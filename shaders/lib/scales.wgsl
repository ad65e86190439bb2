// Sub-block scales as ggml packs them into 12 bytes, given as three words.
// Q4_K, Q5_K: eight pairs of 6-bit numbers; (scale, minimum) of run `run`.
fn scale_and_minimum(words: vec3u, run: u32) -> vec2f {
  let shift = (run & 3u) * 8u;
  if (run < 4u) { return vec2f(vec2u(words.x >> shift, words.y >> shift) & vec2u(63u)); }
  let low = vec2u(words.z >> shift, words.z >> (shift + 4u)) & vec2u(15u);
  let high = vec2u(words.x >> (shift + 6u), words.y >> (shift + 6u)) & vec2u(3u);
  return vec2f(low | (high << vec2u(4u)));
}

// Q3_K: sixteen 6-bit numbers less 32; `low` is word floor(run / 4) % 2, `high` the last.
fn scale_of_16(low: u32, high: u32, run: u32) -> f32 {
  let byte = (run & 3u) * 8u;
  let code = ((low >> (byte + run / 8u * 4u)) & 15u) | (((high >> (byte + run / 4u * 2u)) & 3u) << 4u);
  return f32(code) - 32.0;
}

// Bits 0..3 of `bits` to the lowest bits of the four bytes of a word.
fn spread4(bits: u32) -> u32 { return ((bits & 15u) * 0x00204081u) & 0x01010101u; }
