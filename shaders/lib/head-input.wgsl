// A head's vector of `cols` floats from x[at], as quads that are zero past its end.
fn head_input4(at: u32, quad: u32) -> vec4f {
  var value = vec4f(0.0);
  for (var i = 0u; i < 4u; i++) {
    if (quad * 4u + i < params.cols) { value[i] = x[at + quad * 4u + i]; }
  }
  return value;
}
