// Where a slot's words are: slab in the top four bits of the address, word in the rest (see words-slabs-*.wgsl).
const ABSENT: u32 = 0xffffffffu;

fn slot_address(slot: u32, slots_per_slab: u32, slot_words: u32) -> u32 {
  return ((slot / slots_per_slab) << 28u) | ((slot % slots_per_slab) * slot_words);
}
