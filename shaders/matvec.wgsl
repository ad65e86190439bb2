// Decode: rows of up to three matrices (segments, all of `quads` quads a row) times one vector, into one output.
// LANES threads share a row, ROWS rows share a workgroup; lanes stride over the row's quads, so neighbours read
// neighbouring words, and their partial sums are added in lane order.
// in:  x [quads] f32 quads; weights of the segments, bound by fragments
// out: out f32; row r of segment s goes to out[out_s + r]
// `finish`, a fragment, says what a product adds to, or is added to it.
// params: rows of each segment (0 = no such segment)
// reads the stored bytes of every row once and x once a row; writes 4 bytes a row.
struct Params {
  quads: u32,
  rows_0: u32,
  rows_1: u32,
  rows_2: u32,
  out_0: u32,
  out_1: u32,
  out_2: u32,
  out_scale: f32,
  gate_at: u32,
  gate_stride: u32,
}

override ROWS: u32 = 8;
override LANES: u32 = 8;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<f32, ROWS * LANES>;

@compute @workgroup_size(ROWS * LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  var row = (group.y * groups.x + group.x) * ROWS + thread / LANES;
  var segment = 0u;
  var rows = params.rows_0;
  var out_at = params.out_0;
  if (row >= rows) {
    row -= rows;
    segment = 1u;
    rows = params.rows_1;
    out_at = params.out_1;
  }
  if (segment == 1u && row >= rows) {
    row -= rows;
    segment = 2u;
    rows = params.rows_2;
    out_at = params.out_2;
  }
  var sum = 0.0;
  if (row < rows) {
    for (var quad = lane; quad < params.quads; quad += LANES) {
      sum += dot(segment_weight4(segment, rows * params.quads, row * params.quads + quad), x[quad]);
    }
  }
  partial[thread] = sum;
  workgroupBarrier();
  if (lane == 0u && row < rows) {
    for (var i = 1u; i < LANES; i++) { sum += partial[thread + i]; }
    out[out_at + row] = finish(segment, 0u, row, out_at + row, sum);
  }
}
