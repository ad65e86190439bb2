// The inner product of a tile: TILE (32) input rows by TILE weight rows, 64 threads of 4 x 4 results each, STEP (4) quads
// of the shared dimension at a time. Every result is summed over the shared dimension in order, whatever the tile holds,
// so a token's numbers do not depend on its neighbours.
const TILE: u32 = 32u;
const STEP: u32 = 4u;

struct Tile { rows: array<vec4f, 4> } // rows[i][j]: input row i * 8 + thread / 8, weight row j * 8 + thread % 8

var<workgroup> tile_inputs: array<vec4f, TILE * STEP>;
var<workgroup> tile_weights: array<vec4f, TILE * STEP>;

fn tile_clear() -> Tile { return Tile(array<vec4f, 4>(vec4f(0.0), vec4f(0.0), vec4f(0.0), vec4f(0.0))); }

// Adds the staged STEP quads to `sums`. Call between barriers.
fn tile_add(sums: Tile, thread: u32) -> Tile {
  var result = sums;
  for (var q = 0u; q < STEP; q++) {
    let w0 = tile_weights[(thread % 8u) * STEP + q];
    let w1 = tile_weights[(thread % 8u + 8u) * STEP + q];
    let w2 = tile_weights[(thread % 8u + 16u) * STEP + q];
    let w3 = tile_weights[(thread % 8u + 24u) * STEP + q];
    for (var i = 0u; i < 4u; i++) {
      let input = tile_inputs[(i * 8u + thread / 8u) * STEP + q];
      result.rows[i] += vec4f(dot(input, w0), dot(input, w1), dot(input, w2), dot(input, w3));
    }
  }
  return result;
}
