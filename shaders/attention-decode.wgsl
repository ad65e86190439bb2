// Decode: one token's attention, with the norm and rotation of its query and key heads and the write of its key and
// value into the cache. A workgroup owns one query head. The workgroups that share a key head each prepare the new key
// for themselves (head_dim numbers) and the first of them stores it, so none waits for another.
// in:  qkv [(num_heads + 2 num_kv_heads) * head_dim] f32: queries, keys, values; gains and rope by fragments
// out: k_cache, v_cache [capacity, num_kv_heads, head_quads]: position p lies in row p % capacity
//      out [num_heads * head_dim] f32
// window: keys visible to the query, itself included; 0 = all
// reads the visible keys and values once per query head; writes one key and value row per key head.
struct Params {
  num_heads: u32,
  num_kv_heads: u32,
  head_dim: u32,
  head_quads: u32,
  window: u32,
  capacity: u32,
  eps: f32,
  rope_dims: u32,
  scale: f32,
}
struct Step { pos: u32, tokens: u32 }

override WG: u32 = 64;
override MAX_HEAD_DIM: u32 = 256;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read_write> k_cache: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> v_cache: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

var<private> kv_head: u32;
var<workgroup> new_key: array<vec4f, MAX_HEAD_DIM / 4>;

fn key4(position: u32, quad: u32) -> vec4f {
  if (position == step.pos) { return new_key[quad]; }
  return k_cache[((position % params.capacity) * params.num_kv_heads + kv_head) * params.head_quads + quad];
}

fn value4(position: u32, quad: u32) -> vec4f {
  if (position == step.pos) { return new_value4(quad); }
  return v_cache[((position % params.capacity) * params.num_kv_heads + kv_head) * params.head_quads + quad];
}

fn new_value4(quad: u32) -> vec4f {
  let at = (params.num_heads + params.num_kv_heads + kv_head) * params.head_dim;
  var value = vec4f(0.0);
  for (var i = 0u; i < 4u; i++) {
    if (quad * 4u + i < params.head_dim) { value[i] = qkv[at + quad * 4u + i]; }
  }
  return value;
}

fn rotated4(quad: u32) -> vec4f {
  var value = vec4f(0.0);
  for (var i = 0u; i < 4u; i++) {
    if (quad * 4u + i < params.head_dim) { value[i] = rotated(0u, quad * 4u + i); }
  }
  return value;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let heads_per_kv = params.num_heads / params.num_kv_heads;
  kv_head = head / heads_per_kv;

  stage_head((params.num_heads + kv_head) * params.head_dim, true, lane);
  if (lane < params.head_quads) { new_key[lane] = rotated4(lane); }
  workgroupBarrier();
  stage_head(head * params.head_dim, false, lane);
  if (lane < params.head_quads) { attend_query[lane] = rotated4(lane); }
  workgroupBarrier();

  if (head % heads_per_kv == 0u && lane < params.head_quads) {
    let row = ((step.pos % params.capacity) * params.num_kv_heads + kv_head) * params.head_quads;
    k_cache[row + lane] = new_key[lane];
    v_cache[row + lane] = new_value4(lane);
  }

  var first = 0u;
  if (params.window > 0u && step.pos + 1u > params.window) { first = step.pos + 1u - params.window; }
  let mixed = attend(head, first, step.pos, params.head_quads, params.head_quads, params.scale, lane);
  if (lane < params.head_quads) {
    for (var i = 0u; i < 4u; i++) {
      let at = head * params.head_dim + lane * 4u + i;
      if (lane * 4u + i < params.head_dim) { out[at] = mixed[i] * output_gate(at); }
    }
  }
}
