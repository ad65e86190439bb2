// Prefill: the products b * x of a chunk's tokens into the ring of a short convolution, before any token reads them.
// Grid: x = channels / 64, y = tokens. A thread owns one channel of one token.
// in:  bcx [tokens, bcx_stride] f32: gates b, gates c, x, `channels` each
// out: ring [capacity, channels] f32: position p in row p % capacity
// reads 8 and writes 4 bytes a channel and token.
struct Params { channels: u32, bcx_stride: u32, capacity: u32 }
struct Step { pos: u32, tokens: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> bcx: array<f32>;
@group(0) @binding(3) var<storage, read_write> ring: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.channels) { return; }
  let at = id.y * params.bcx_stride + id.x;
  let row = (step.pos + id.y) % params.capacity;
  ring[row * params.channels + id.x] = bcx[at] * bcx[at + 2u * params.channels];
}
