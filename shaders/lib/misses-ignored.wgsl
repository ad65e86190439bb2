// Prefill: the host reads the routing before any expert runs.
fn halted(lane: u32) -> bool { return false; }

fn hint_count() -> u32 { return 0u; }

fn note_misses(absent: bool) {}
