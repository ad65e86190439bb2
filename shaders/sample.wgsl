// The next token id from the logits: greedy, or by temperature, top-k and top-p with a counter-based random number per
// (seed, position, id). Drawing is the Gumbel-max rule: the largest of logit / temperature + gumbel among the kept ids
// is distributed as their softmax, with no running sum. Cuts are found by bisection over the ordered bits of the logits:
// 32 counting passes give the exact k-th largest, 32 weighing passes the exact top-p cut; ties at a cut are kept.
// One workgroup. in: logits [vocab] f32, finite; sampling: the draw. out: token [1] u32 (lowest id on ties)
// reads the logits once for greedy, up to 67 times otherwise.
// Hash: PCG output function as in Jarzynski & Olano, "Hash Functions for GPU Rendering", 2020.
struct Params { vocab: u32 }
struct Sampling { temperature: f32, top_p: f32, top_k: u32, seed: u32, position: u32 }

override WG: u32 = 256;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> sampling: Sampling;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> token: array<u32>;

var<workgroup> best_score: array<f32, WG>;
var<workgroup> best_id: array<u32, WG>;

// Unsigned integers in the order of the floats.
fn ordered(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let mixed = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (mixed >> 22u) ^ mixed;
}

// -log(-log(u)) for u in (0, 1) in steps of 2^-23, exact in f32. Near u = 1, where winners come from, log promises little:
// there -log(u) is the series of v = 1 - u.
fn gumbel(id: u32) -> f32 {
  let bits = pcg(id ^ pcg(sampling.position ^ pcg(sampling.seed)));
  let u = (f32(bits >> 9u) + 0.5) * 1.1920928955078125e-7;
  let v = (f32(~bits >> 9u) + 0.5) * 1.1920928955078125e-7;
  let exponential = select(-log(u), v * (1.0 + v * (0.5 + v * (1.0 / 3.0 + v * 0.25))), v < 0.01);
  return -log(exponential);
}

fn count_from(cut: u32, lane: u32) -> f32 {
  var count = 0.0; // whole numbers below 2^24: exact in f32
  for (var id = lane; id < params.vocab; id += WG) { count += select(0.0, 1.0, ordered(logits[id]) >= cut); }
  return reduce_sum(count, lane);
}

fn mass_from(cut: u32, largest: f32, lane: u32) -> f32 {
  var mass = 0.0;
  for (var id = lane; id < params.vocab; id += WG) {
    let share = exp((logits[id] - largest) / sampling.temperature);
    mass += select(0.0, share, ordered(logits[id]) >= cut);
  }
  return reduce_sum(mass, lane);
}

// The largest cut that still keeps top_k ids.
fn top_k_cut(lane: u32) -> u32 {
  var cut = 0u;
  if (sampling.top_k == 0u || sampling.top_k >= params.vocab) { return cut; }
  for (var bit = 31u; bit < 32u; bit--) {
    let tried = cut | (1u << bit);
    cut = select(cut, tried, count_from(tried, lane) >= f32(sampling.top_k));
  }
  return cut;
}

// The largest cut that still keeps a share top_p of the mass above `floor_cut`.
fn top_p_cut(floor_cut: u32, lane: u32) -> u32 {
  if (sampling.top_p >= 1.0) { return floor_cut; }
  var largest = -3.4e38;
  for (var id = lane; id < params.vocab; id += WG) { largest = max(largest, logits[id]); }
  largest = reduce_max(largest, lane);
  let wanted = mass_from(floor_cut, largest, lane) * sampling.top_p;
  var cut = 0u;
  for (var bit = 31u; bit < 32u; bit--) {
    let tried = cut | (1u << bit);
    let mass = mass_from(tried, largest, lane);
    cut = select(cut, tried, mass >= wanted && mass > 0.0); // never an empty set, even at top_p 0
  }
  return cut;
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
  let greedy = sampling.temperature <= 0.0 || sampling.top_k == 1u;
  var cut = 0u;
  if (!greedy) { cut = top_p_cut(top_k_cut(lane), lane); }
  var score = -3.4e38;
  var winner = 0xffffffffu;
  for (var id = lane; id < params.vocab; id += WG) {
    var tried = logits[id];
    if (!greedy) { tried = tried / sampling.temperature + gumbel(id); }
    if (ordered(logits[id]) >= cut && (winner == 0xffffffffu || tried > score)) {
      score = tried;
      winner = id;
    }
  }
  best_score[lane] = score;
  best_id[lane] = winner;
  workgroupBarrier();
  for (var half = WG / 2u; half > 0u; half >>= 1u) {
    if (lane < half) {
      let other = best_id[lane + half];
      let larger = best_score[lane + half] > best_score[lane];
      let tied = best_score[lane + half] == best_score[lane] && other < best_id[lane];
      if (other != 0xffffffffu && (best_id[lane] == 0xffffffffu || larger || tied)) {
        best_score[lane] = best_score[lane + half];
        best_id[lane] = other;
      }
    }
    workgroupBarrier();
  }
  if (lane == 0u) { token[0] = best_id[0]; }
}
