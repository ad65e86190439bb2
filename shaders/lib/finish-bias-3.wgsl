// What becomes of a product: the bias of its row of its segment is added.
@group(0) @binding(0) var<storage, read> bias_0: array<f32>; // [rows_0]
@group(0) @binding(0) var<storage, read> bias_1: array<f32>; // [rows_1]
@group(0) @binding(0) var<storage, read> bias_2: array<f32>; // [rows_2]

fn finish(segment: u32, token: u32, row: u32, at: u32, sum: f32) -> f32 {
  if (segment == 0u) { return sum + bias_0[row]; }
  if (segment == 1u) { return sum + bias_1[row]; }
  return sum + bias_2[row];
}
