// Decode, dense MLP: out[r] = activate(gate[r] . x, up[r] . x). Threads share rows as in matvec.wgsl.
// in:  x [quads] f32 quads; gate and up [rows, quads], each with a storage type of its own
// out: out [rows] f32
// reads the stored bytes of both matrices once; writes 4 bytes a row.
struct Params { quads: u32, rows: u32 }

override ROWS: u32 = 8;
override LANES: u32 = 8;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<vec2f, ROWS * LANES>;

@compute @workgroup_size(ROWS * LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = (group.y * groups.x + group.x) * ROWS + thread / LANES;
  let quads = params.rows * params.quads;
  var sums = vec2f(0.0);
  if (row < params.rows) {
    for (var q = lane; q < params.quads; q += LANES) {
      let quad = row * params.quads + q;
      sums += vec2f(dot(weight4_0(0u, quads, quad), x[q]), dot(weight4_1(0u, quads, quad), x[q]));
    }
  }
  partial[thread] = sums;
  workgroupBarrier();
  if (lane == 0u && row < params.rows) {
    for (var i = 1u; i < LANES; i++) { sums += partial[thread + i]; }
    out[row] = activate(sums.x, sums.y);
  }
}
