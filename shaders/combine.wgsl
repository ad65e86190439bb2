// Prefill: out[t] = sum over ranks r of w[t, r] * z[t * top_k + r], in rank order, whichever expert was there first.
// Grid: x = quads / 64, y = tokens. in: z [tokens * top_k, quads] f32 quads; routing [tokens, 3, top_k] u32
// out: out [tokens, quads] f32 quads. reads 16 * top_k and writes 16 bytes a quad.
struct Params { quads: u32, top_k: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> z: array<vec4f>;
@group(0) @binding(2) var<storage, read> routing: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.quads) { return; }
  let weights_at = id.y * 3u * params.top_k + 2u * params.top_k;
  var sum = vec4f(0.0);
  for (var rank = 0u; rank < params.top_k; rank++) {
    sum += bitcast<f32>(routing[weights_at + rank]) * z[(id.y * params.top_k + rank) * params.quads + id.x];
  }
  out[id.y * params.quads + id.x] = sum;
}
