// Prefill: the gated short convolution of a chunk's tokens. All products b * x come out of the ring, those of the chunk
// too (short-conv-write.wgsl), so a token's bits do not depend on where a chunk begins.
// Grid: x = channels / 64, y = tokens. A thread owns one channel of one token.
// in:  bcx [tokens, bcx_stride] f32, of which the gates c are read; ring [capacity, channels] f32: position p in row
//      p % capacity, capacity >= kernel - 1 + tokens or all positions; weights [channels, kernel], oldest tap first, by fragment
// out: out [tokens, out_stride] f32 = c * sum of taps * (b * x) of the last `kernel` positions; zeros before position 0
// reads 4 * (1 + 2 * kernel) and writes 4 bytes a channel and token.
struct Params { channels: u32, kernel: u32, capacity: u32, bcx_stride: u32, out_stride: u32 }
struct Step { pos: u32, tokens: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> bcx: array<f32>;
@group(0) @binding(3) var<storage, read> ring: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let channel = id.x;
  if (channel >= params.channels) { return; }
  let position = step.pos + id.y;
  var sum = 0.0;
  for (var tap = 0u; tap < params.kernel; tap++) {
    let back = params.kernel - 1u - tap;
    if (back > position) { continue; }
    sum += tap_of(channel, tap) * ring[((position - back) % params.capacity) * params.channels + channel];
  }
  out[id.y * params.out_stride + channel] = bcx[id.y * params.bcx_stride + params.channels + channel] * sum;
}
