// Outputs of heads times the sigmoid of their gates, which follow queries, keys and values in the row.
fn output_gate(at: u32) -> f32 {
  let logit = qkv[at + (params.num_heads + 2u * params.num_kv_heads) * params.head_dim];
  return 1.0 / (1.0 + exp(-max(logit, -80.0)));
}
