// word(address) of a layer whose slots lie in one slab.
@group(0) @binding(0) var<storage, read> slab_0: array<u32>;

fn word(address: u32) -> u32 { return slab_0[address]; }
