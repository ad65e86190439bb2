// Prefill: the first half of the experts without a gate over tokens grouped by expert, max(up x, 0)^2. Pairs and tiles are
// those of expert-matmul-gate-up.wgsl. Grid: x = inner rows / 32, y = tiles.
// in:  x [tokens, x_stride] f32 quads from quad x_at; tiles: (slot, first, count, 0); pairs: pair numbers; slabs
// out: act [pairs, act_stride] f32
// reads up of a tile's expert once; writes 4 bytes a result.
struct Params {
  quads: u32,
  rows: u32,
  top_k: u32,
  x_at: u32,
  x_stride: u32,
  act_stride: u32,
  up_word: u32,
  up_bias_word: u32,
  slot_words: u32,
  slots_per_slab: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(3) var<storage, read> pairs: array<u32>;
@group(0) @binding(4) var<storage, read_write> act: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.y];
  let base = slot_address(tile.x, params.slots_per_slab, params.slot_words);
  let first_row = group.x * TILE;
  let quads = params.rows * params.quads;
  var sums = tile_clear();
  for (var step_at = 0u; step_at < params.quads; step_at += STEP) {
    for (var i = thread; i < TILE * STEP; i += 64u) {
      let q = step_at + i % STEP;
      let row = first_row + i / STEP;
      tile_inputs[i] = vec4f(0.0);
      tile_weights[i] = vec4f(0.0);
      if (q < params.quads && i / STEP < tile.z) {
        tile_inputs[i] = x[pairs[tile.y + i / STEP] / params.top_k * params.x_stride + params.x_at + q];
      }
      if (q < params.quads && row < params.rows) {
        tile_weights[i] = weight4_up(base + params.up_word, quads, row * params.quads + q);
      }
    }
    workgroupBarrier();
    sums = tile_add(sums, thread);
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    let place = i * 8u + thread / 8u;
    if (place >= tile.z) { continue; }
    let pair = pairs[tile.y + place];
    for (var j = 0u; j < 4u; j++) {
      let row = first_row + j * 8u + thread % 8u;
      if (row >= params.rows) { continue; }
      let positive = max(with_bias(base + params.up_bias_word, row, sums.rows[i][j]), 0.0);
      act[pair * params.act_stride + row] = positive * positive;
    }
  }
}
