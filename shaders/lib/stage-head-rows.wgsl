// The weights of a tile whose outputs are a head's rows: quads step_at .. of rows first_output ..
fn stage_weights(head: u32, first_output: u32, step_at: u32, thread: u32) {
  for (var i = thread; i < TILE * STEP; i += 64u) {
    let q = step_at + i % STEP;
    let row = first_output + i / STEP;
    tile_weights[i] = vec4f(0.0);
    if (q < params.quads && row < params.outputs) { tile_weights[i] = head_weight4(head, row, q); }
  }
}
