// Prefill: the first half of the experts over tokens grouped by expert. A pair is (token, rank), numbered token * top_k +
// rank; `pairs` lists them expert by expert, and a tile is up to 32 pairs of one expert.
// Grid: x = inner rows / 32, y = tiles.
// in:  x [tokens, x_stride] f32 quads from quad x_at; tiles: (slot, first, count, 0); pairs: pair numbers; slabs
// out: act [pairs, act_stride] f32
// reads gate and up of a tile's expert once; writes 4 bytes a result.
struct Params {
  quads: u32,
  rows: u32,
  top_k: u32,
  x_at: u32,
  x_stride: u32,
  act_stride: u32,
  gate_word: u32,
  up_word: u32,
  gate_bias_word: u32,
  up_bias_word: u32,
  slot_words: u32,
  slots_per_slab: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(3) var<storage, read> pairs: array<u32>;
@group(0) @binding(4) var<storage, read_write> act: array<f32>;

var<workgroup> up_weights: array<vec4f, TILE * STEP>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[group.y];
  let base = slot_address(tile.x, params.slots_per_slab, params.slot_words);
  let first_row = group.x * TILE;
  let quads = params.rows * params.quads;
  var gates = tile_clear();
  var ups = tile_clear();
  for (var step_at = 0u; step_at < params.quads; step_at += STEP) {
    for (var i = thread; i < TILE * STEP; i += 64u) {
      let q = step_at + i % STEP;
      let row = first_row + i / STEP;
      tile_inputs[i] = vec4f(0.0);
      tile_weights[i] = vec4f(0.0);
      up_weights[i] = vec4f(0.0);
      if (q < params.quads && i / STEP < tile.z) {
        tile_inputs[i] = x[pairs[tile.y + i / STEP] / params.top_k * params.x_stride + params.x_at + q];
      }
      if (q < params.quads && row < params.rows) {
        tile_weights[i] = weight4_gate(base + params.gate_word, quads, row * params.quads + q);
        up_weights[i] = weight4_up(base + params.up_word, quads, row * params.quads + q);
      }
    }
    workgroupBarrier();
    gates = tile_add(gates, thread);
    workgroupBarrier();
    for (var i = thread; i < TILE * STEP; i += 64u) { tile_weights[i] = up_weights[i]; }
    workgroupBarrier();
    ups = tile_add(ups, thread);
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    let place = i * 8u + thread / 8u;
    if (place >= tile.z) { continue; }
    let pair = pairs[tile.y + place];
    for (var j = 0u; j < 4u; j++) {
      let row = first_row + j * 8u + thread % 8u;
      if (row >= params.rows) { continue; }
      let gate = with_bias(base + params.gate_bias_word, row, gates.rows[i][j]);
      let up = with_bias(base + params.up_bias_word, row, ups.rows[i][j]);
      act[pair * params.act_stride + row] = activate(gate, up);
    }
  }
}
