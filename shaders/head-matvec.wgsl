// Decode: each head's rows of one matrix times that head's own vector: out[h, r] = row r of head h . x[h].
// LANES threads share a row, ROWS rows share a workgroup; lanes stride over the row's quads, and their partial sums are
// added in lane order.
// in:  x f32: head h's vector of `cols` from x_at + h * x_stride; weights [num_heads * row_stride, quads] by fragment
// out: out f32: head h's `rows` products from h * out_stride
// reads the stored bytes of every used row once; writes 4 bytes a row.
struct Params {
  num_heads: u32,
  rows: u32,
  row_stride: u32,
  first_row: u32,
  quads: u32,
  cols: u32,
  x_at: u32,
  x_stride: u32,
  out_stride: u32,
}

override ROWS: u32 = 8;
override LANES: u32 = 8;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<f32, ROWS * LANES>;

@compute @workgroup_size(ROWS * LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let product = (group.y * groups.x + group.x) * ROWS + thread / LANES;
  let head = product / params.rows;
  let row = product % params.rows;
  var sum = 0.0;
  if (head < params.num_heads) {
    let at = params.x_at + head * params.x_stride;
    for (var quad = lane; quad < params.quads; quad += LANES) {
      sum += dot(head_weight4(head, row, quad), head_input4(at, quad));
    }
  }
  partial[thread] = sum;
  workgroupBarrier();
  if (lane == 0u && head < params.num_heads) {
    for (var i = 1u; i < LANES; i++) { sum += partial[thread + i]; }
    out[head * params.out_stride + row] = sum;
  }
}
