// A decode step marks its first MoE layer with an absent expert, goes on for `run_ahead` MoE layers, and is halted then: at
// the last MoE layer at the latest, unless it runs ahead for more than all of them: then the token that it draws is wanted.
struct Step { pos: u32, tokens: u32, run_ahead: u32, hints: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(0) var<storage, read_write> miss: array<u32, 2>; // first missing MoE layer or NONE; 1 when halted

var<workgroup> step_halted: u32;

// A barrier: for uniform control flow.
fn halted(lane: u32) -> bool {
  if (lane == 0u) { step_halted = miss[1]; }
  return workgroupUniformLoad(&step_halted) != 0u;
}

// Experts just below the top-k cut that are named too.
fn hint_count() -> u32 { return step.hints; }

fn note_misses(absent: bool) {
  if (absent && miss[0] == NONE) { miss[0] = params.moe; }
  if (miss[0] == NONE) { return; }
  let last = params.moe + 1u == params.num_moe && step.run_ahead <= params.num_moe;
  if (params.moe - miss[0] >= step.run_ahead || last) { miss[1] = 1u; }
}
