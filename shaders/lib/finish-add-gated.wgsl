// What becomes of a product: it is added to what the output holds, times the sigmoid of the token's gate.
@group(0) @binding(0) var<storage, read> gate: array<f32>; // [tokens, gate_stride] f32, from gate_at

fn finish(segment: u32, token: u32, row: u32, at: u32, sum: f32) -> f32 {
  let logit = gate[token * params.gate_stride + params.gate_at];
  return out[at] + sum / (1.0 + exp(-max(logit, -80.0)));
}
