// RMSNorm, in place, of all queries of a token and of all its keys, which lie side by side.
// Grid: x = 2 (queries, keys), y = tokens. A workgroup owns one of the two of one token.
// in/out: qkv [tokens, stride] f32; in: q_gain [q_cols], k_gain [k_cols]
// reads twice and writes once 4 * (q_cols + k_cols) bytes a token.
struct Params { q_cols: u32, k_cols: u32, stride: u32, eps: f32 }

override WG: u32 = 64;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> q_gain: array<f32>;
@group(0) @binding(3) var<storage, read> k_gain: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let is_key = group.x == 1u;
  let at = group.y * params.stride + select(0u, params.q_cols, is_key);
  let cols = select(params.q_cols, params.k_cols, is_key);
  var squares = 0.0;
  for (var i = lane; i < cols; i += WG) { squares += qkv[at + i] * qkv[at + i]; }
  let scale = inverseSqrt(reduce_sum(squares, lane) / f32(cols) + params.eps);
  for (var i = lane; i < cols; i += WG) {
    var gain = 0.0;
    if (is_key) { gain = k_gain[i]; } else { gain = q_gain[i]; }
    qkv[at + i] = qkv[at + i] * scale * gain;
  }
}
