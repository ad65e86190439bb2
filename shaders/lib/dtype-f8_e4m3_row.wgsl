// weight4 of an FP8 matrix with a scale for every row: word i holds four codes; after `quads` words a plane of f32 scales.
// params.quads, in every kernel that reads matrices, is the quads of a row.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  return e4m3(word(base + quad)) * bitcast<f32>(word(base + quads + quad / params.quads));
}
