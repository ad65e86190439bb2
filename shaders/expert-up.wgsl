// Decode: the first half of the chosen experts without a gate, straight out of their slots: act[r] = max(up_r x, 0)^2.
// Grid: x = inner rows / ROWS, y = top_k. Threads share rows as in matvec.wgsl.
// in:  x f32 quads from x_at (the vector that experts read); routing [3, top_k] u32 from routing_at; slabs by fragment
// out: act [top_k, act_stride] f32; an absent expert leaves zeros, and the step that it belongs to is never used
// up_word: where the matrix begins in a slot, in words
// reads top_k * up stored bytes; writes 4 * rows * top_k bytes.
struct Params {
  quads: u32,
  rows: u32,
  x_at: u32,
  act_stride: u32,
  top_k: u32,
  routing_at: u32,
  up_word: u32,
  up_bias_word: u32,
  slot_words: u32,
  slots_per_slab: u32,
}

override ROWS: u32 = 8;
override LANES: u32 = 8;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> routing: array<u32>;
@group(0) @binding(3) var<storage, read_write> act: array<f32>;

var<workgroup> partial: array<f32, ROWS * LANES>;

@compute @workgroup_size(ROWS * LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % LANES;
  let row = group.x * ROWS + thread / LANES;
  let slot = routing[params.routing_at + params.top_k + group.y];
  let quads = params.rows * params.quads;
  var sum = 0.0;
  if (row < params.rows && slot != ABSENT) {
    let base = slot_address(slot, params.slots_per_slab, params.slot_words);
    for (var q = lane; q < params.quads; q += LANES) {
      sum += dot(weight4_up(base + params.up_word, quads, row * params.quads + q), x[params.x_at + q]);
    }
  }
  partial[thread] = sum;
  workgroupBarrier();
  if (lane == 0u && row < params.rows) {
    for (var i = 1u; i < LANES; i++) { sum += partial[thread + i]; }
    var positive = 0.0;
    if (slot != ABSENT) {
      let base = slot_address(slot, params.slots_per_slab, params.slot_words);
      positive = max(with_bias(base + params.up_bias_word, row, sum), 0.0);
    }
    act[group.y * params.act_stride + row] = positive * positive;
  }
}
