// word(address) of a layer whose slots lie in four slabs; the slab is in the top four bits of the address.
@group(0) @binding(0) var<storage, read> slab_0: array<u32>;
@group(0) @binding(1) var<storage, read> slab_1: array<u32>;
@group(0) @binding(2) var<storage, read> slab_2: array<u32>;
@group(0) @binding(3) var<storage, read> slab_3: array<u32>;

fn word(address: u32) -> u32 {
  let index = address & 0x0fffffffu;
  switch (address >> 28u) {
    case 0u: { return slab_0[index]; }
    case 1u: { return slab_1[index]; }
    case 2u: { return slab_2[index]; }
    default: { return slab_3[index]; }
  }
}
