// segment_weight4 over one matrix.
fn segment_weight4(segment: u32, quads: u32, quad: u32) -> vec4f { return weight4_0(0u, quads, quad); }
