// Four E4M3 codes in a word, lowest byte first, exactly: bias 7, subnormals of 2^-9, 0x7f and 0xff are NaN, no infinities.
fn e4m3(bits: u32) -> vec4f {
  let codes = unpack4xU8(bits);
  let magnitude = codes & vec4u(0x7fu);
  let normal = bitcast<vec4f>((magnitude << vec4u(20u)) + vec4u(120u << 23u)); // the exponent's bias is 127, not 7
  // A float with so small an exponent field would be subnormal itself and may be flushed: made by counting instead.
  let exact = select(normal, vec4f(magnitude) * 0x1p-9, magnitude < vec4u(8u));
  let finite = bitcast<vec4u>(exact) | ((codes & vec4u(0x80u)) << vec4u(24u));
  return bitcast<vec4f>(select(finite, finite | vec4u(0x7fc00000u), magnitude == vec4u(0x7fu)));
}
