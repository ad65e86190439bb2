// Gains of the norm of a compressed query.
@group(0) @binding(0) var<storage, read> query_gain: array<f32>; // [query_cols]

fn query_gain_of(element: u32) -> f32 { return query_gain[element]; }
