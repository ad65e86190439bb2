// activate: silu(gate) * up. The clamp keeps exp finite; below -80 silu is smaller than f32 can tell from zero times up.
fn activate(gate: f32, up: f32) -> f32 { return gate / (1.0 + exp(-max(gate, -80.0))) * up; }
