// Whether the step has missed an expert and gone on as far as it should: what would still run is void.
struct Halt { first_missing: u32, halted: u32 }
@group(0) @binding(0) var<uniform> halt: Halt;
