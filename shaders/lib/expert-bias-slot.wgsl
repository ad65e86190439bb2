// Experts with biases, as floats in their slots: `address` is that of a matrix's first.
fn with_bias(address: u32, row: u32, sum: f32) -> f32 { return sum + bitcast<f32>(word(address + row)); }
