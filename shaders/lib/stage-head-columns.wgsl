// The weights of a tile whose outputs are a head's columns: columns first_output .. of rows 4 step_at .. Half the threads
// turn a patch of four by four each, so every stored quad is read once.
fn stage_weights(head: u32, first_output: u32, step_at: u32, thread: u32) {
  if (thread >= TILE * STEP / 4u) { return; }
  let quad = thread % (TILE / 4u);
  let q = thread / (TILE / 4u);
  var patch_rows = array<vec4f, 4>(vec4f(0.0), vec4f(0.0), vec4f(0.0), vec4f(0.0));
  for (var i = 0u; i < 4u; i++) {
    let row = (step_at + q) * 4u + i;
    if (row < params.cols && first_output / 4u + quad < params.quads) {
      patch_rows[i] = head_weight4(head, row, first_output / 4u + quad);
    }
  }
  for (var j = 0u; j < 4u; j++) {
    tile_weights[(quad * 4u + j) * STEP + q] =
      vec4f(patch_rows[0][j], patch_rows[1][j], patch_rows[2][j], patch_rows[3][j]);
  }
}
