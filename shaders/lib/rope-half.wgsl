// Rotary positions: of the first rope_dims elements, element j turns with element j + rope_dims / 2. Cosines and sines
// come from the host, computed in f64, since WGSL promises little of sin and cos at large angles.
@group(0) @binding(0) var<storage, read> rope: array<vec2f>; // [tokens, rope_dims / 2] of (cos, sin)

fn partner_of(element: u32) -> u32 {
  let half = params.rope_dims / 2u;
  return select(element - half, element + half, element < half);
}

fn rotate(token: u32, element: u32, own: f32, partner: f32) -> f32 {
  let half = params.rope_dims / 2u;
  let turn = rope[token * half + element % half];
  return own * turn.x + select(partner, -partner, element < half) * turn.y;
}
