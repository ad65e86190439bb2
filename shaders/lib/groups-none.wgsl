// Experts without groups: all may be chosen.
fn choose_groups(at: u32, lane: u32) {}
fn is_open(expert: u32) -> bool { return true; }
