// activate: min(gate, 7) sigmoid(1.702 gate) (clamp(up, -7, 7) + 1). The inner clamp keeps exp finite.
fn activate(gate: f32, up: f32) -> f32 {
  let g = min(gate, 7.0);
  return g / (1.0 + exp(-1.702 * max(g, -40.0))) * (clamp(up, -7.0, 7.0) + 1.0);
}
