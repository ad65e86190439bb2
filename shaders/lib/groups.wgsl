// Experts in num_groups groups of neighbours, of which the best groups_used are open. A group is as good as its best
// expert, or, with group_best = 2, as the sum of its two best; on ties the lower group is taken first. num_groups <= WG.
var<workgroup> group_scores: array<f32, WG>;
var<workgroup> open_groups: array<u32, WG>;

// A barrier; call from uniform control flow.
fn choose_groups(at: u32, lane: u32) {
  let size = params.num_experts / params.num_groups;
  var best = -3.4e38;
  var second = -3.4e38;
  if (lane < params.num_groups) {
    for (var i = 0u; i < size; i++) {
      let expert = lane * size + i;
      let tried = choice(logits[at + expert], expert);
      second = max(second, min(best, tried));
      best = max(best, tried);
    }
  }
  group_scores[lane] = select(best, best + second, params.group_best == 2u);
  workgroupBarrier();
  var better = 0u;
  for (var group = 0u; group < params.num_groups; group++) {
    let theirs = group_scores[group];
    let mine = group_scores[lane];
    better += select(0u, 1u, theirs > mine || (theirs == mine && group < lane));
  }
  open_groups[lane] = select(0u, 1u, better < params.groups_used);
  workgroupBarrier();
}

fn is_open(expert: u32) -> bool { return open_groups[expert / (params.num_experts / params.num_groups)] == 1u; }
