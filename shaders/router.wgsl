// Router selection: scores of experts, what they are chosen by and in which groups (fragments; softmax, logits and no
// groups in most models), stable top-k (on ties the lower id first), routing weights, and the slot of every chosen expert
// from the residency table. A workgroup owns one token.
// in:  logits [tokens, logits_stride] f32; slots by a fragment: NONE when absent
// out: routing [tokens, 3, top_k] u32 from routing_at: expert ids, slots, routing weights (f32 bits), in rank order; for a
//      step that watches its misses (a fragment), also the experts next below the cut [hints] from hints_at, NONE if there
//      is no other
// num_experts <= 1024, top_k <= 64. reads 4 * num_experts bytes a token, top_k + 1 times.
struct Params {
  num_experts: u32,
  top_k: u32,
  logits_stride: u32,
  residency_at: u32,
  routing_at: u32,
  renormalize: u32,
  routing_scale: f32,
  num_groups: u32,
  groups_used: u32,
  group_best: u32,
  hints_at: u32,
  moe: u32,
  num_moe: u32,
}

override WG: u32 = 64;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> routing: array<u32>;

// Of the token's logits: the largest, and the sum of exp(logit - largest).
var<private> router_largest: f32;
var<private> router_total: f32;

const NONE: u32 = 0xffffffffu;
var<workgroup> taken: array<u32, 32>; // bit set of chosen experts
var<workgroup> best_choice: array<f32, WG>;
var<workgroup> best_expert: array<u32, WG>;

// The expert with the largest choice value that is not taken yet; lower id on ties.
fn best_left(at: u32, lane: u32) -> u32 {
  var best = -3.4e38;
  var expert = NONE;
  for (var e = lane; e < params.num_experts; e += WG) {
    let open = ((taken[e / 32u] >> (e % 32u)) & 1u) == 0u && is_open(e);
    let tried = choice(logits[at + e], e);
    if (open && (expert == NONE || tried > best)) {
      best = tried;
      expert = e;
    }
  }
  best_choice[lane] = best;
  best_expert[lane] = expert;
  workgroupBarrier();
  for (var half = WG / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      let other = best_expert[lane + half];
      let mine = best_expert[lane];
      let larger = best_choice[lane + half] > best_choice[lane];
      let tied = best_choice[lane + half] == best_choice[lane];
      if (other != NONE && (mine == NONE || larger || (tied && other < mine))) {
        best_choice[lane] = best_choice[lane + half];
        best_expert[lane] = other;
      }
    }
    workgroupBarrier();
  }
  let chosen = best_expert[0];
  workgroupBarrier();
  return chosen;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (halted(lane)) { return; }
  let at = group.x * params.logits_stride;
  let row = params.routing_at + group.x * 3u * params.top_k;
  if (lane < 32u) { taken[lane] = 0u; }
  var largest = -3.4e38;
  for (var e = lane; e < params.num_experts; e += WG) { largest = max(largest, logits[at + e]); }
  router_largest = reduce_max(largest, lane);
  var total = 0.0;
  for (var e = lane; e < params.num_experts; e += WG) { total += exp(logits[at + e] - router_largest); }
  router_total = reduce_sum(total, lane);

  choose_groups(at, lane);
  for (var rank = 0u; rank < params.top_k; rank++) {
    let expert = best_left(at, lane);
    if (lane == 0u) {
      taken[expert / 32u] |= 1u << (expert % 32u);
      routing[row + rank] = expert;
      routing[row + params.top_k + rank] = slot_of(expert);
      routing[row + 2u * params.top_k + rank] = bitcast<u32>(score(logits[at + expert]));
    }
    workgroupBarrier();
  }
  for (var hint = 0u; hint < hint_count(); hint++) {
    let expert = best_left(at, lane);
    if (lane == 0u) {
      if (expert != NONE) { taken[expert / 32u] |= 1u << (expert % 32u); }
      routing[params.hints_at + hint] = expert;
    }
    workgroupBarrier();
  }
  if (lane != 0u) { return; }
  var divisor = 1.0;
  if (params.renormalize == 1u) {
    divisor = 0.0;
    for (var rank = 0u; rank < params.top_k; rank++) {
      divisor += bitcast<f32>(routing[row + 2u * params.top_k + rank]);
    }
  }
  var absent = false;
  for (var rank = 0u; rank < params.top_k; rank++) {
    let weight = bitcast<f32>(routing[row + 2u * params.top_k + rank]);
    routing[row + 2u * params.top_k + rank] = bitcast<u32>(weight / divisor * params.routing_scale);
    absent = absent || routing[row + params.top_k + rank] == NONE;
  }
  note_misses(absent);
}
