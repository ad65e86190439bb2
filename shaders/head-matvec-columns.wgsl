// Decode: each head's own vector times that head's rows of one matrix: out[h, c] = sum over n of x[h, n] W[h, n, c]. What
// head-matvec.wgsl would give for the transposed matrix, which blocks along the rows do not allow to store.
// A workgroup owns 16 quads of columns of one head; SLICES threads share a quad and take every SLICES-th row, so that
// neighbours read neighbouring words, and their partial sums are added in order.
// in:  x f32: head h's vector of `rows` from x_at + h * x_stride; weights [num_heads * row_stride, quads] by fragment
// out: out f32: head h's `cols` sums from h * out_stride
// reads the stored bytes of every used row once; writes 4 bytes a column.
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

const QUADS: u32 = 16;
const SLICES: u32 = 4;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> partial: array<vec4f, QUADS * SLICES>;

@compute @workgroup_size(QUADS * SLICES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let tiles = (params.quads + QUADS - 1u) / QUADS;
  let tile = group.y * groups.x + group.x;
  let head = tile / tiles;
  let quad = tile % tiles * QUADS + thread % QUADS;
  let is_inside = head < params.num_heads && quad < params.quads;
  var sum = vec4f(0.0);
  if (is_inside) {
    for (var row = thread / QUADS; row < params.rows; row += SLICES) {
      sum += x[params.x_at + head * params.x_stride + row] * head_weight4(head, row, quad);
    }
  }
  partial[thread] = sum;
  workgroupBarrier();
  if (thread < QUADS && is_inside) {
    for (var slice = 1u; slice < SLICES; slice++) { sum += partial[slice * QUADS + thread]; }
    for (var i = 0u; i < 4u; i++) {
      if (quad * 4u + i < params.cols) { out[head * params.out_stride + quad * 4u + i] = sum[i]; }
    }
  }
}
