// Rotary positions: of the first rope_dims elements, elements 2j and 2j + 1 turn together. Table as in rope-half.wgsl.
@group(0) @binding(0) var<storage, read> rope: array<vec2f>; // [tokens, rope_dims / 2] of (cos, sin)

fn partner_of(element: u32) -> u32 { return element ^ 1u; }

fn rotate(token: u32, element: u32, own: f32, partner: f32) -> f32 {
  let turn = rope[token * (params.rope_dims / 2u) + element / 2u];
  return own * turn.x + select(partner, -partner, element % 2u == 0u) * turn.y;
}
