// Decode: one token's gated short convolution, and its product b * x into the ring for the tokens after it.
// Grid: x = channels / 64. A thread owns one channel, ring column included, so none waits for another.
// in:  bcx [3 * channels] f32: gates b, gates c, x; weights [channels, kernel], oldest tap first, by fragment
// in/out: ring [capacity, channels] f32: b * x of position p lies in row p % capacity
// out: out [channels] f32 = c * sum of taps * (b * x) of the last `kernel` positions; before position 0 they are zeros
// reads 4 * (3 + 2 * kernel) and writes 8 bytes a channel.
struct Params { channels: u32, kernel: u32, capacity: u32 }
struct Step { pos: u32, tokens: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> bcx: array<f32>;
@group(0) @binding(3) var<storage, read_write> ring: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let channel = id.x;
  if (channel >= params.channels) { return; }
  let own = bcx[channel] * bcx[2u * params.channels + channel];
  var sum = 0.0;
  for (var tap = 0u; tap + 1u < params.kernel; tap++) {
    let back = params.kernel - 1u - tap;
    if (back > step.pos) { continue; }
    sum += tap_of(channel, tap) * ring[((step.pos - back) % params.capacity) * params.channels + channel];
  }
  sum += tap_of(channel, params.kernel - 1u) * own;
  ring[(step.pos % params.capacity) * params.channels + channel] = own;
  out[channel] = bcx[params.channels + channel] * sum;
}
