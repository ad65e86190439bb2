// Decode: the second half of the chosen experts and their combine: out[i] = sum over ranks r of w_r * (down_r[i] . act_r),
// always in rank order. Threads share rows as in matvec.wgsl.
// in:  act [top_k, act_quads] f32 quads; routing [3, top_k] u32 from routing_at; slabs by fragment
// out: out [rows] f32
// reads top_k stored down matrices; writes 4 bytes a row.
struct Params {
  quads: u32,
  rows: u32,
  act_quads: u32,
  top_k: u32,
  routing_at: u32,
  down_word: u32,
  down_bias_word: u32,
  slot_words: u32,
  slots_per_slab: u32,
}

override ROWS: u32 = 8;
override LANES: u32 = 8;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> act: array<vec4f>;
@group(0) @binding(2) var<storage, read> routing: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<f32, ROWS * LANES>;

@compute @workgroup_size(ROWS * LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = (group.y * groups.x + group.x) * ROWS + thread / LANES;
  let quads = params.rows * params.quads;
  var sum = 0.0;
  if (row < params.rows) {
    for (var rank = 0u; rank < params.top_k; rank++) {
      let slot = routing[params.routing_at + params.top_k + rank];
      if (slot == ABSENT) { continue; }
      let slot_base = slot_address(slot, params.slots_per_slab, params.slot_words);
      let base = slot_base + params.down_word;
      var expert_sum = 0.0;
      for (var q = lane; q < params.quads; q += LANES) {
        expert_sum += dot(weight4_down(base, quads, row * params.quads + q), act[rank * params.act_quads + q]);
      }
      if (lane == 0u) { expert_sum = with_bias(slot_base + params.down_bias_word, row, expert_sum); }
      sum += bitcast<f32>(routing[params.routing_at + 2u * params.top_k + rank]) * expert_sum;
    }
  }
  partial[thread] = sum;
  workgroupBarrier();
  if (lane == 0u && row < params.rows) {
    for (var i = 1u; i < LANES; i++) { sum += partial[thread + i]; }
    out[row] = sum;
  }
}
