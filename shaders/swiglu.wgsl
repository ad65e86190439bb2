// Prefill, dense MLP: act = activate(gate, up), element by element. Grid: x = inner / 64, y = tokens.
// in:  gate_up [tokens, 2 * stride] f32: gate, then up; out: act [tokens, stride] f32. stride >= inner.
// reads 8 and writes 4 bytes an element.
struct Params { inner: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<f32>;
@group(0) @binding(2) var<storage, read_write> act: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.inner) { return; }
  let at = id.y * 2u * params.stride + id.x;
  act[id.y * params.stride + id.x] = activate(gate_up[at], gate_up[at + params.stride]);
}
