// The f16 numbers in a word, low half first, exactly. By integers: unpack2x16float may flush subnormals to zero, and the
// scales of blocks are often subnormal. Infinities and NaN, which no sound file holds, come out as large numbers.
fn halves(bits: u32) -> vec2f {
  let both = vec2u(bits & 0xffffu, bits >> 16u);
  let magnitude = both & vec2u(0x7fffu);
  let normal = bitcast<vec2f>((magnitude << vec2u(13u)) + vec2u(112u << 23u)); // the exponent's bias is 127, not 15
  let exact = select(normal, vec2f(magnitude) * 0x1p-24, magnitude < vec2u(0x400u));
  return bitcast<vec2f>(bitcast<vec2u>(exact) | ((both & vec2u(0x8000u)) << vec2u(16u)));
}

// Half `index` % 2 of a word of halves.
fn half(bits: u32, index: u32) -> f32 { return halves(bits >> ((index & 1u) * 16u)).x; }
