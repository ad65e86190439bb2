// word(i) of a matrix that has a buffer of its own.
@group(0) @binding(0) var<storage, read> weights: array<u32>;

fn word(index: u32) -> u32 { return weights[index]; }
