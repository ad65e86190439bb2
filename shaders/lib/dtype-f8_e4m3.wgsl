// weight4 of an FP8 matrix with a scale for every 128 x 128 tile: word i holds four codes; after `quads` words a plane of
// f32 scales, tiles row-major. params.quads, in every kernel that reads matrices, is the quads of a row.
fn weight4(base: u32, quads: u32, quad: u32) -> vec4f {
  let row = quad / params.quads;
  let tile = row / 128u * ((params.quads + 31u) / 32u) + (quad - row * params.quads) / 32u;
  return e4m3(word(base + quad)) * bitcast<f32>(word(base + quads + tile));
}
