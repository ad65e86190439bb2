// A layer without positions.
fn partner_of(element: u32) -> u32 { return element; }
fn rotate(token: u32, element: u32, own: f32, partner: f32) -> f32 { return own; }
