// What experts are chosen by: their scores and a bias that only choosing sees.
@group(0) @binding(0) var<storage, read> selection_bias: array<f32>; // [num_experts]

fn choice(logit: f32, expert: u32) -> f32 { return score(logit) + selection_bias[expert]; }
