// Latent attention: a token's latent, normed, and the rotated part that its keys share, into the cache; and the norm of
// its compressed query, in place, where there is one.
// Grid: x = 1, with a compressed query 2; y = tokens. A workgroup owns one of the two of one token.
// in/out: row [tokens, stride] f32: the query from 0, [latent (rank) | shared part (rope_dims)] from latent_at
// out: latents [capacity, key_quads] quads: position p lies in row p % capacity, zeros behind its rank + rope_dims floats
// in:  latent_gain [rank]; rope, query_gain by fragments
// reads twice and writes once 4 * (query_cols + rank + rope_dims) bytes a token.
struct Params {
  rank: u32,
  rope_dims: u32,
  key_quads: u32,
  capacity: u32,
  latent_at: u32,
  stride: u32,
  query_cols: u32,
  eps: f32,
}
struct Step { pos: u32, tokens: u32 }

override WG: u32 = 64;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read_write> row: array<f32>;
@group(0) @binding(3) var<storage, read_write> latents: array<f32>;
@group(0) @binding(4) var<storage, read> latent_gain: array<f32>;

fn norm_scale(at: u32, cols: u32, lane: u32) -> f32 {
  var squares = 0.0;
  for (var i = lane; i < cols; i += WG) { squares += row[at + i] * row[at + i]; }
  return inverseSqrt(reduce_sum(squares, lane) / f32(cols) + params.eps);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let token = group.y;
  if (group.x == 1u) {
    let query = token * params.stride;
    let query_scale = norm_scale(query, params.query_cols, lane);
    for (var i = lane; i < params.query_cols; i += WG) { row[query + i] *= query_scale * query_gain_of(i); }
    return;
  }
  let at = token * params.stride + params.latent_at;
  let scale = norm_scale(at, params.rank, lane);
  let place = ((step.pos + token) % params.capacity) * params.key_quads * 4u;
  for (var i = lane; i < params.key_quads * 4u; i += WG) {
    var value = 0.0;
    if (i < params.rank) {
      value = row[at + i] * scale * latent_gain[i];
    } else if (i < params.rank + params.rope_dims) {
      let element = i - params.rank;
      value = rotate(token, element, row[at + i], row[at + params.rank + partner_of(element)]);
    }
    latents[place + i] = value;
  }
}
