// segment_weight4 over two matrices, each with a storage type of its own.
fn segment_weight4(segment: u32, quads: u32, quad: u32) -> vec4f {
  if (segment == 0u) { return weight4_0(0u, quads, quad); }
  return weight4_1(0u, quads, quad);
}
