// Prefill: the second half of the experts over tokens grouped by expert; pairs and tiles as in expert-matmul-gate-up.wgsl.
// Grid: x = output rows / 32, y = tiles.
// in:  act [pairs, act_quads] f32 quads; tiles, pairs; slabs. out: z [pairs, z_stride] f32, one row a pair, not yet mixed
// reads down of a tile's expert once; writes 4 bytes a result.
struct Params {
  quads: u32,
  rows: u32,
  act_quads: u32,
  z_stride: u32,
  down_word: u32,
  down_bias_word: u32,
  slot_words: u32,
  slots_per_slab: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> act: array<vec4f>;
@group(0) @binding(2) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(3) var<storage, read> pairs: array<u32>;
@group(0) @binding(4) var<storage, read_write> z: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.y];
  let slot_base = slot_address(tile.x, params.slots_per_slab, params.slot_words);
  let base = slot_base + params.down_word;
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
        tile_inputs[i] = act[pairs[tile.y + i / STEP] * params.act_quads + q];
      }
      if (q < params.quads && row < params.rows) {
        tile_weights[i] = weight4_down(base, quads, row * params.quads + q);
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
      z[pair * params.z_stride + row] = with_bias(slot_base + params.down_bias_word, row, sums.rows[i][j]);
    }
  }
}
