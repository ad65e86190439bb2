// Attention of one query over keys first .. last by online softmax, in tiles of WG keys and in a fixed order, so that the
// result depends on nothing but the keys. The query waits in attend_query; key4 and value4 are the kernel's own.
// attend_start says what it begins with. Keys and values are quads; value_quads is at most WG.
var<workgroup> attend_query: array<vec4f, MAX_HEAD_DIM / 4>;
var<workgroup> attend_weights: array<f32, WG>;
var<workgroup> attend_parts: array<vec4f, WG>;

// Thread `lane` < value_quads returns quad `lane` of the output; a barrier, call from uniform control flow.
fn attend(
  head: u32,
  first: u32,
  last: u32,
  key_quads: u32,
  value_quads: u32,
  scale: f32,
  lane: u32,
) -> vec4f {
  let parts = WG / value_quads;
  let quad = lane % value_quads;
  let part = lane / value_quads;
  let start = attend_start(head);
  var largest = start.x;
  var total = start.y;
  var mixed = vec4f(0.0);
  for (var tile = first; tile <= last; tile += WG) {
    let key = tile + lane;
    var score = -3.0e38;
    if (key <= last) {
      var sum = 0.0;
      for (var q = 0u; q < key_quads; q++) { sum += dot(attend_query[q], key4(key, q)); }
      score = sum * scale;
    }
    let new_largest = max(largest, reduce_max(score, lane));
    let weight = select(0.0, exp(score - new_largest), key <= last);
    attend_weights[lane] = weight;
    let shrink = exp(largest - new_largest);
    total = total * shrink + reduce_sum(weight, lane);
    mixed *= shrink;
    if (part < parts) {
      let count = min(WG, last + 1u - tile);
      for (var i = part; i < count; i += parts) { mixed += attend_weights[i] * value4(tile + i, quad); }
    }
    largest = new_largest;
    workgroupBarrier();
  }
  attend_parts[lane] = mixed;
  workgroupBarrier();
  var output = vec4f(0.0);
  if (part == 0u) {
    for (var p = 0u; p < parts; p++) { output += attend_parts[p * value_quads + quad]; }
  }
  workgroupBarrier();
  return output / total;
}
