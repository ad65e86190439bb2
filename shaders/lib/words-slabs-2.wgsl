// word(address) of a layer whose slots lie in two slabs; the slab is in the top four bits of the address.
@group(0) @binding(0) var<storage, read> slab_0: array<u32>;
@group(0) @binding(1) var<storage, read> slab_1: array<u32>;

fn word(address: u32) -> u32 {
  let index = address & 0x0fffffffu;
  if (address >> 28u == 0u) { return slab_0[index]; }
  return slab_1[index];
}
