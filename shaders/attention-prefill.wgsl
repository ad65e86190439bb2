// Prefill: attention of every query head of every token over the cache, which already holds this chunk's keys and values.
// Grid: x = num_heads, y = tokens. A workgroup owns one query head of one token.
// in:  qkv [tokens, qkv_stride] f32, queries normed and rotated; k_cache, v_cache as in attention-decode.wgsl, with
//      capacity of at least window + tokens - 1 rows in a windowed layer
// out: out [tokens, out_stride] f32
// reads the visible keys and values once per query head and token.
struct Params {
  num_heads: u32,
  num_kv_heads: u32,
  head_dim: u32,
  head_quads: u32,
  qkv_stride: u32,
  out_stride: u32,
  window: u32,
  capacity: u32,
  scale: f32,
}
struct Step { pos: u32, tokens: u32 }

override WG: u32 = 64;
override MAX_HEAD_DIM: u32 = 256;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read> k_cache: array<vec4f>;
@group(0) @binding(4) var<storage, read> v_cache: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

var<private> kv_head: u32;

fn key4(position: u32, quad: u32) -> vec4f {
  return k_cache[((position % params.capacity) * params.num_kv_heads + kv_head) * params.head_quads + quad];
}

fn value4(position: u32, quad: u32) -> vec4f {
  return v_cache[((position % params.capacity) * params.num_kv_heads + kv_head) * params.head_quads + quad];
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let token = group.y;
  kv_head = head / (params.num_heads / params.num_kv_heads);
  if (lane < params.head_quads) {
    let at = token * params.qkv_stride + head * params.head_dim;
    var query = vec4f(0.0);
    for (var i = 0u; i < 4u; i++) {
      if (lane * 4u + i < params.head_dim) { query[i] = qkv[at + lane * 4u + i]; }
    }
    attend_query[lane] = query;
  }
  workgroupBarrier();
  let last = step.pos + token;
  var first = 0u;
  if (params.window > 0u && last + 1u > params.window) { first = last + 1u - params.window; }
  let mixed = attend(head, first, last, params.head_quads, params.head_quads, params.scale, lane);
  if (lane < params.head_quads) {
    let at = token * params.out_stride + head * params.head_dim;
    for (var i = 0u; i < 4u; i++) {
      if (lane * 4u + i >= params.head_dim) { continue; }
      let gate = output_gate(token * params.qkv_stride + head * params.head_dim + lane * 4u + i);
      out[at + lane * 4u + i] = mixed[i] * gate;
    }
  }
}
