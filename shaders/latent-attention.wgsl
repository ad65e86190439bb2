// Latent attention of every query head over the cached latents, which hold this step's tokens already. One row of the
// cache serves all heads: as a key whole, as a value by its first `rank` elements. A head's query is its part in the space
// of the latents, and its rotated part.
// Grid: x = num_heads, y = tokens. A workgroup owns one head of one token.
// in:  q [tokens, q_stride] f32: head h's rotated part, not rotated yet, from q_at + h * head_dim
//      latents [capacity, key_quads] quads, as latent-write.wgsl leaves them; rope by fragment
// in/out: heads [tokens, heads_stride] f32: head h's query in the space of the latents from h * rank, then its output
// reads the visible rows of the cache once per head and token for keys, and their first rank floats for values.
struct Params {
  rank: u32,
  rope_dims: u32,
  key_quads: u32,
  capacity: u32,
  q_at: u32,
  head_dim: u32,
  q_stride: u32,
  heads_stride: u32,
  scale: f32,
}
struct Step { pos: u32, tokens: u32 }

override WG: u32 = 128;
override MAX_HEAD_DIM: u32 = 576; // of the keys, rounded up to quads

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> latents: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> heads: array<f32>;

fn key4(position: u32, quad: u32) -> vec4f {
  return latents[(position % params.capacity) * params.key_quads + quad];
}

// The last quad of a value may reach into the shared part of the key; nothing of that is written.
fn value4(position: u32, quad: u32) -> vec4f { return key4(position, quad); }

fn query(token: u32, latent_at: u32, rotated_at: u32, element: u32) -> f32 {
  if (element < params.rank) { return heads[latent_at + element]; }
  let turning = element - params.rank;
  if (turning >= params.rope_dims) { return 0.0; }
  return rotate(token, turning, q[rotated_at + turning], q[rotated_at + partner_of(turning)]);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let token = group.y;
  let at = token * params.heads_stride + head * params.rank;
  let rotated_at = token * params.q_stride + params.q_at + head * params.head_dim;
  for (var quad = lane; quad < params.key_quads; quad += WG) {
    attend_query[quad] = vec4f(
      query(token, at, rotated_at, quad * 4u),
      query(token, at, rotated_at, quad * 4u + 1u),
      query(token, at, rotated_at, quad * 4u + 2u),
      query(token, at, rotated_at, quad * 4u + 3u),
    );
  }
  workgroupBarrier();
  let value_quads = (params.rank + 3u) / 4u;
  let mixed = attend(head, 0u, step.pos + token, params.key_quads, value_quads, params.scale, lane);
  if (lane < value_quads) {
    for (var i = 0u; i < 4u; i++) {
      if (lane * 4u + i < params.rank) { heads[at + lane * 4u + i] = mixed[i]; }
    }
  }
}
