// What experts are chosen by: their scores, where groups of experts are chosen by sums of them.
fn choice(logit: f32, expert: u32) -> f32 { return score(logit); }
