// reduce_sum, reduce_max: one value per thread of a workgroup of WG threads, in a fixed tree order, result to all.
// Both are barriers; call them from uniform control flow only. WG is a power of two.
var<workgroup> reduce_scratch: array<f32, WG>;

fn reduce_sum(value: f32, lane: u32) -> f32 {
  reduce_scratch[lane] = value;
  workgroupBarrier();
  for (var half = WG / 2u; half > 0u; half >>= 1u) {
    if (lane < half) { reduce_scratch[lane] += reduce_scratch[lane + half]; }
    workgroupBarrier();
  }
  let total = reduce_scratch[0];
  workgroupBarrier();
  return total;
}

fn reduce_max(value: f32, lane: u32) -> f32 {
  reduce_scratch[lane] = value;
  workgroupBarrier();
  for (var half = WG / 2u; half > 0u; half >>= 1u) {
    if (lane < half) { reduce_scratch[lane] = max(reduce_scratch[lane], reduce_scratch[lane + half]); }
    workgroupBarrier();
  }
  let largest = reduce_scratch[0];
  workgroupBarrier();
  return largest;
}
