// Slots come and go: the residency table says where an expert is.
@group(0) @binding(0) var<storage, read> residency: array<u32>; // [layers, num_experts]: slot, or NONE when absent

fn slot_of(expert: u32) -> u32 { return residency[params.residency_at + expert]; }
