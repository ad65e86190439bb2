// Routing weight of a router logit: softmax over all experts.
fn score(logit: f32) -> f32 { return exp(logit - router_largest) / router_total; }
