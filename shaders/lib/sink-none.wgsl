// Attention starts from nothing: the largest score so far and the sum of weights.
fn attend_start(head: u32) -> vec2f { return vec2f(-3.0e38, 0.0); }
