// What becomes of a product: the bias of its row is added.
@group(0) @binding(0) var<storage, read> bias_0: array<f32>; // [rows]

fn finish(segment: u32, token: u32, row: u32, at: u32, sum: f32) -> f32 { return sum + bias_0[row]; }
