// Routing weight of a router logit: its sigmoid.
fn score(logit: f32) -> f32 { return 1.0 / (1.0 + exp(-max(logit, -80.0))); }
