// Methods that iterate: projected and whitened ascent, and the exact preimage. A run keeps every
// iterate in `frames`; `advance` goes one step; `best` is the frame that the method returns.

const STEPS = 500, REACHED = 1e-3, PATIENCE = 150, IMPROVEMENT = 1e-5, PRIOR = 4.5;
const RATE = 0.1, B1 = 0.9, ADAM_EPS = 1e-8;

// J and its gradient at the logits. "target": answer the target; "log_prob": raise its class.
function towardsTarget(output, { logits, outputs }, target) {
  if (output === "sigmoid") {
    let value = 0;
    logits.forEach((z, k) => { value -= softplus(z) - target[k] * z - entropy(target[k]) - entropy(1 - target[k]); });
    return { value, slope: outputs.map((a, k) => target[k] - a) };
  }
  if (output === "softmax") {
    const log = logSoftmax(logits), whole = sum(target);
    return { value: sum(target.map(entropy)) + dot(target, log), slope: outputs.map((a, k) => target[k] - whole * a) };
  }
  const { slope } = ACTIVATIONS[output], gap = outputs.map((a, k) => a - target[k]);
  return { value: -dot(gap, gap), slope: gap.map((g, k) => -2 * g * slope(logits[k], outputs[k])) };
}

// Half the squared distance to the target's own logits, where it has any.
function towardsLogits(output, trace, target) {
  const { inverse, low, high } = ACTIVATIONS[output], inside = 1e-6 * Math.min(high - low, 1);
  if (!inverse) return towardsTarget(output, trace, target);
  const all = trace.logits.map((z, k) => z - inverse(clip(target[k], low + inside, high - inside)));
  const gap = output === "softmax" ? lessMean(all) : all;
  return { value: -0.5 * dot(gap, gap), slope: gap.map((g) => -g) };
}

const entropy = (p) => (p > 0 ? -p * Math.log(p) : 0);
function raiseClass(output, { logits }, target) {
  const k = argmax(target);
  if (output === "sigmoid") return { value: -softplus(-logits[k]), slope: logits.map((z, j) => (j === k ? 1 - sigmoid(z) : 0)) };
  const log = logSoftmax(logits);
  return { value: log[k], slope: log.map((each, j) => (j === k ? 1 : 0) - Math.exp(each)) };
}

function adam(size, b2) {
  const first = new Float64Array(size), second = new Float64Array(size);
  let count = 0;
  return (u, uphill) => {
    count += 1;
    const one = 1 - B1 ** count, two = 1 - b2 ** count;
    for (let i = 0; i < size; i++) {
      first[i] = B1 * first[i] + (1 - B1) * uphill[i];
      second[i] = b2 * second[i] + (1 - b2) * uphill[i] * uphill[i];
      u[i] += (RATE * (first[i] / one)) / (Math.sqrt(second[i] / two) + ADAM_EPS);
    }
  };
}

const newRun = (start, most) => ({ frames: [Float64Array.from(start)], best: 0, done: false, reason: "", most });

// x ← clip(x + Adam(∇J)): the defaults of jaxbq.Ascent.
function pixelAscent(net, target, start) {
  const { low, high } = net, u = Float64Array.from(start, (v) => clip(v, low, high));
  const run = newRun(u, STEPS), move = adam(u.length, 0.85);
  let top = -Infinity;
  run.look = () => {
    const step = run.frames.length - 1, trace = forward(net, u);
    const { value, slope } = towardsLogits(net.output, trace, target);
    const reached = largestGap(trace.outputs, target) <= REACHED;
    if (value > top || reached) { top = value; run.best = step; }
    if (reached || step >= STEPS) { run.done = true; run.reason = reached ? "reached" : "max_iterations"; }
    return { trace, slope };
  };
  run.advance = () => {
    const { trace, slope } = run.look(); if (run.done) return;
    move(u, backward(net, trace, slope));
    for (let i = 0; i < u.length; i++) u[i] = clip(u[i], low, high);
    run.frames.push(u.slice());
  };
  return run;
}

// x = clip(μ + Σ^½ u), u ← u + Adam(∇(J − λ‖u‖²/2n)): the preset "whitened".
function whitenedAscent(net, prior, target, start) {
  const { low, high } = net, n = start.length, u = whiten(prior, start);
  const picture = () => colour(prior, u).map((v, i) => v + prior.mean[i]);
  let raw = picture(), top = -Infinity, mark = -Infinity, waited = 0;
  const inside = () => raw.map((v) => clip(v, low, high));
  const run = newRun(inside(), STEPS), move = adam(n, 0.95);
  run.look = () => {
    const step = run.frames.length - 1, trace = forward(net, run.frames[step]);
    const one = raiseClass(net.output, trace, target), two = towardsTarget(net.output, trace, target);
    const value = one.value + two.value - (PRIOR * dot(u, u)) / (2 * n);
    if (value > top) { top = value; run.best = step; }
    waited = value > mark + IMPROVEMENT ? 0 : waited + 1;
    if (!waited) mark = value;
    if (waited >= PATIENCE || step >= STEPS) {
      run.done = true;
      run.reason = waited >= PATIENCE ? "stalled" : "max_iterations";
    }
    return { trace, slope: one.slope.map((s, k) => s + two.slope[k]) };
  };
  run.advance = () => {
    const { trace, slope } = run.look(); if (run.done) return;
    // A pixel at an end, or beyond it, takes a gradient that leads back inside.
    const uphill = backward(net, trace, slope).map((g, i) => ((raw[i] >= high && g > 0) || (raw[i] <= low && g < 0) ? 0 : g));
    move(u, colour(prior, uphill).map((g, i) => g - (PRIOR * u[i]) / n));
    raw = picture();
    run.frames.push(inside());
  };
  return run;
}

// v Σ^½: whole, or c v + E ((s − c) Eᵀv) with the leading eigenvectors in the rows of E.
function colour(prior, v, power = 1) {
  if (prior.root) return symmetric(v, prior.root);
  const { rows, scale } = prior, n = v.length, rest = prior.rest ** power, out = v.map((each) => rest * each);
  scale.forEach((s, k) => {
    const row = rows.subarray(k * n, (k + 1) * n), share = (s ** power - rest) * dot(row, v);
    for (let i = 0; i < n; i++) out[i] += share * row[i];
  });
  return out;
}

// u with Σ^½ u = x − μ. The factor is made for the first image other than the mean.
function whiten(prior, image) {
  const left = Float64Array.from(image, (v, i) => v - prior.mean[i]);
  if (!prior.root) return colour(prior, left, -1);
  if (!left.some((v) => v)) return left;
  prior.solve ??= cholesky(Array.from(left, (_, i) => prior.root.subarray((i * (i + 1)) / 2, ((i + 1) * (i + 2)) / 2)));
  return prior.solve(left);
}
