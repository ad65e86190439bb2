// Tap `tap` of channel `channel` of a short convolution; the last one is the token's own.
fn tap_of(channel: u32, tap: u32) -> f32 {
  let quads_per_row = (params.kernel + 3u) / 4u;
  return weight4(0u, params.channels * quads_per_row, channel * quads_per_row + tap / 4u)[tap % 4u];
}
