// Prefill: norm and rotation of every query and key head in place, and keys and values into the cache.
// Grid: x = num_heads + 2 num_kv_heads, y = tokens. A workgroup owns one head of one token.
// in/out: qkv [tokens, qkv_stride] f32 (queries, keys, values); out: k_cache, v_cache as in attention-decode.wgsl
// reads and writes 4 * head_dim bytes a head.
struct Params {
  num_heads: u32,
  num_kv_heads: u32,
  head_dim: u32,
  head_quads: u32,
  qkv_stride: u32,
  capacity: u32,
  eps: f32,
  rope_dims: u32,
}
struct Step { pos: u32, tokens: u32 }

override WG: u32 = 64;
override MAX_HEAD_DIM: u32 = 256;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(3) var<storage, read_write> k_cache: array<f32>;
@group(0) @binding(4) var<storage, read_write> v_cache: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let token = group.y;
  let at = token * params.qkv_stride + head * params.head_dim;
  let is_query = head < params.num_heads;
  let is_value = head >= params.num_heads + params.num_kv_heads;
  stage_head(at, !is_query, lane);
  let kv_head = (head - params.num_heads) % params.num_kv_heads;
  let row = (((step.pos + token) % params.capacity) * params.num_kv_heads + kv_head) * params.head_quads * 4u;
  for (var i = lane; i < params.head_dim; i += WG) {
    if (is_query) {
      qkv[at + i] = rotated(token, i);
    } else if (is_value) {
      v_cache[row + i] = qkv[at + i];
    } else {
      k_cache[row + i] = rotated(token, i);
    }
  }
}
