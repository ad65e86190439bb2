// RMSNorm of one query or key head, with the layer's gains.
@group(0) @binding(0) var<storage, read> q_gain: array<f32>; // [head_dim]
@group(0) @binding(1) var<storage, read> k_gain: array<f32>; // [head_dim]

fn head_scale(squares: f32, eps: f32) -> f32 { return inverseSqrt(squares / f32(params.head_dim) + eps); }

fn head_gain(is_key: bool, element: u32) -> f32 {
  if (is_key) { return k_gain[element]; }
  return q_gain[element];
}
