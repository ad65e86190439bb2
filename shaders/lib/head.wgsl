// One query or key head of one token: normed into workgroup memory, then rotated on the way out.
var<workgroup> head_staged: array<f32, MAX_HEAD_DIM>;

// Stages the head at qkv[at ..] with its norm. A barrier; call from uniform control flow.
fn stage_head(at: u32, is_key: bool, lane: u32) {
  var squares = 0.0;
  for (var i = lane; i < params.head_dim; i += WG) { squares += qkv[at + i] * qkv[at + i]; }
  let scale = head_scale(reduce_sum(squares, lane), params.eps);
  for (var i = lane; i < params.head_dim; i += WG) {
    head_staged[i] = qkv[at + i] * scale * head_gain(is_key, i);
  }
  workgroupBarrier();
}

// Element `element` of the staged head after rotation for `token` of this step.
fn rotated(token: u32, element: u32) -> f32 {
  if (element >= params.rope_dims) { return head_staged[element]; }
  return rotate(token, element, head_staged[element], head_staged[partner_of(element)]);
}
