// A layer without positions.
fn rotate(token: u32, element: u32, own: f32, partner: f32) -> f32 { return own; }
