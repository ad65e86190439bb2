// Every expert has the slot of its own number for good.
fn slot_of(expert: u32) -> u32 { return expert; }
