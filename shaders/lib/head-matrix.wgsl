// A matrix that holds the rows of all heads, row_stride a head, of which a kernel works on those from first_row on.
fn head_weight4(head: u32, row: u32, quad: u32) -> vec4f {
  let all = params.num_heads * params.row_stride * params.quads;
  return weight4(0u, all, (head * params.row_stride + params.first_row + row) * params.quads + quad);
}
