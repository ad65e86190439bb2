// Token ids to rows of the embedding matrix, dequantised and scaled.
// Grid: x = quads of a row / 64, y = tokens. A thread owns one quad of one token's row.
// in:  ids [tokens] u32; weights: rows row_start .. row_start + row_count of the matrix (a shard of it)
// out: x [tokens, quads] f32 quads; rows of ids outside the shard are left alone
// reads one stored row a token, writes 16 bytes a quad.
struct Params { quads: u32, row_start: u32, row_count: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let quad = id.x;
  let row = ids[id.y] - params.row_start; // wraps around for smaller ids, and then fails the test below
  if (quad >= params.quads || row >= params.row_count) { return; }
  x[id.y * params.quads + quad] =
    weight4(0u, params.row_count * params.quads, row * params.quads + quad) * params.scale;
}
