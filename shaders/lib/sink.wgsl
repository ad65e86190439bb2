// Attention starts from the head's sink: a score that has no key and no value, and weighs one beside itself.
@group(0) @binding(0) var<storage, read> sinks: array<f32>; // [num_heads]

fn attend_start(head: u32) -> vec2f { return vec2f(sinks[head], 1.0); }
