// Experts without biases.
fn with_bias(address: u32, row: u32, sum: f32) -> f32 { return sum; }
