// No norm of query and key heads.
fn head_scale(squares: f32, eps: f32) -> f32 { return 1.0; }

fn head_gain(is_key: bool, element: u32) -> f32 { return 1.0; }
