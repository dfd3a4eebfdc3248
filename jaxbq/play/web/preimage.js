// The exact preimage: r(x) = φ⁻¹(target) − logits(x) = 0 for x in the pixel range. Bounded
// Gauss–Newton as in jaxbq/solvers/gauss_newton.py, with its numbers for float32, one image.

const GOAL = 1e-4, FLOOR = 50 * EPS32, LIMIT = 300, ROUNDS = 4, AGAIN = 2, TRIALS = 12, ARMIJO = 1e-4;

function exactPreimage(net, target, start) {
  const { low, high } = net, wanted = deactivate(net.output, target);
  const project = net.output === "softmax" ? lessMean : (r) => r;
  const inside = (x) => x.map((v) => clip(v, low, high));
  const residualOf = (trace) => project(wanted.map((w, k) => w - trace.logits[k]));
  const residual = (x) => residualOf(forward(net, x));
  let x = inside(Float64Array.from(start)), damping = 1e-3, curved = false;
  const first = norm(residual(x)), run = newRun(x, LIMIT);
  run.residuals = [first];
  const end = (reason) => { run.done = true; run.reason = reason; };
  if (first <= GOAL) end("reached");

  // ∇ of |r|²/2, downhill.
  const descent = (at) => {
    const trace = forward(net, at);
    return backward(net, trace, project(residualOf(trace)));
  };
  // Conjugate gradients on the true curvature, for where Gauss–Newton only creeps.
  const newtonPath = (down) => {
    const free = x.map((v, i) => +((v > low || down[i] > 0) && (v < high || down[i] < 0)));
    const step = new Float64Array(x.length), left = down.map((g, i) => free[i] * g);
    let along = left.slice(), square = dot(left, left);
    const least = 1e-2 * square;
    for (let k = 0; k < 20; k++) {
      const size = 1e-4 / Math.max(norm(along), 1e-30), there = (sign) => descent(x.map((v, i) => v + sign * size * along[i]));
      const plus = there(1), bent = there(-1).map((g, i) => (free[i] * (g - plus[i])) / (2 * size));
      const curvature = dot(along, bent);
      if (!(curvature > 0)) break;
      const length = square / curvature;
      for (let i = 0; i < x.length; i++) { step[i] += length * along[i]; left[i] -= length * bent[i]; }
      const now = dot(left, left), share = now / square;
      along = along.map((v, i) => left[i] + share * v);
      square = now;
      if (!(now > least)) break;
    }
    const full = inside(x.map((v, i) => v + step[i]));
    return { full, step, slope: dot(down, full.map((v, i) => v - x[i])) };
  };

  run.advance = () => {
    const trace = forward(net, x), value = residualOf(trace), size = norm(value), o = value.length;
    const J = jacobian(net, trace, project);
    const squares = sum(J.map((row) => dot(row, row))), scale = squares > 0 ? squares : 1;
    if (!Number.isFinite(squares + size)) return end("diverged");
    const relative = Math.max((damping * size) / first, FLOOR), m = relative * scale;
    const below = x.map((v) => low - v), above = x.map((v) => high - v);
    const dualAt = (point) => {
      const step = new Float64Array(x.length);
      J.forEach((row, k) => { for (let i = 0; i < step.length; i++) step[i] += point[k] * row[i]; });
      for (let i = 0; i < step.length; i++) step[i] = clip(step[i], below[i], above[i]);
      const change = Float64Array.from(J, (row) => dot(row, step));
      const slope = value.map((r, k) => r - change[k] - m * point[k]);
      return { point, step, change, slope, value: dot(point, slope) + (m * dot(point, point) + dot(step, step)) / 2 };
    };
    const start = dualAt(value.map((r) => r / ((1 + relative) * scale)));
    const enough = Math.max(0.003 * size * Math.min(size, 1), GOAL / 10);
    let dual = start, length = 1;
    let solve = (r) => r.map((each) => each / ((1 + relative) * scale));
    for (let k = 0; k < ROUNDS && norm(dual.slope) > enough; k++) {
      solve = cholesky(gram(J, dual.step, below, above, m));
      const towards = solve(dual.slope), from = dual.point;
      const next = dualAt(from.map((p, j) => p + length * towards[j]));
      // The dual is concave: halving the steps that lower it keeps the rounds from cycling.
      const better = next.value >= dual.value || norm(next.slope) < norm(dual.slope);
      if (better) dual = next;
      length = better ? 1 : length / 2;
    }
    const unsolved = norm(dual.slope) > enough;
    const gain = (d) => dot(d.change, value.map((r, k) => 2 * r - d.change[k])) - m * dot(d.step, d.step);
    if (!(gain(dual) > gain(start))) dual = start;

    const predicted = dot(dual.change, value.map((r, k) => 2 * r - dual.change[k])) / 2;
    const steep = norm(start.step) * (1 + relative) * Math.sqrt(scale);
    const flat = steep <= Math.max(EPS32 ** (2 / 3), 1e-8) * size || !(predicted > 2 * EPS32 * size * size);
    if (flat) { keep(x, size); return end("stationary"); }
    let path = { step: dual.step, slope: dot(value, dual.change) };
    path.full = x.map((v, i) => (dual.step[i] === below[i] ? low : dual.step[i] === above[i] ? high : clip(v + dual.step[i], low, high)));
    if (curved) {
      const newton = newtonPath(backward(net, trace, project(value)));
      curved = newton.slope > 0;
      if (curved) path = newton;
    }
    const found = search(path, value);
    const now = dot(found.left, found.left), ratio = (size * size - now) / (2 * predicted);
    if (!curved) {
      const good = found.length === 1 && ratio > 0.75 && !unsolved;
      const bad = found.length < 1 || ratio < 0.25 || unsolved;
      const more = bad ? 4 * Math.max(damping, 1e-5) : damping;
      damping = clip(found.ok ? (good ? damping / 10 : more) : 100 * Math.max(more, 1e-6), 1e-30, 10);
    }
    const hopeless = !found.ok && !curved && relative >= 1;
    if (found.ok && !curved) goOn(found, J, solve, size);
    x = found.x;
    const least = norm(found.left);
    curved = found.ok && !curved && least > 0.99 * size;
    keep(x, least);
    if (found.ok && least <= GOAL) return end("reached");
    if (hopeless) return end("stationary");
    if (run.frames.length > LIMIT) end("max_iterations");
  };
  const keep = (image, least) => {
    run.frames.push(image.slice());
    run.residuals.push(least);
    run.best = run.frames.length - 1;
  };

  // Backtrack along clip(x + a step) until |r|²/2 falls enough.
  const search = ({ full, step, slope }, value) => {
    const cost = dot(value, value) / 2;
    for (let k = 0, length = 1; k < TRIALS; k++) {
      const there = length === 1 ? full : inside(x.map((v, i) => v + length * step[i]));
      const left = residual(there), now = dot(left, left) / 2;
      if (now < cost && now <= cost - ARMIJO * length * slope) return { x: there, left, length, ok: true };
      const parabola = (slope * length * length) / (2 * (now - cost + slope * length));
      length = clip(Number.isNaN(parabola) ? 0 : parabola, length / 10, length / 2);
    }
    return { x, left: value, length: 0, ok: false };
  };
  // Step on with the Jacobian and factor there are, as long as every step halves |r|.
  const goOn = (found, J, solve, size) => {
    let go = norm(found.left) < size / 2 && norm(found.left) > GOAL;
    for (let k = 0; k < AGAIN && go; k++) {
      const point = solve(found.left), further = found.x.slice();
      J.forEach((row, j) => { for (let i = 0; i < row.length; i++) further[i] += point[j] * row[i]; });
      for (let i = 0; i < further.length; i++) further[i] = clip(further[i], low, high);
      const rest = residual(further), least = norm(found.left), now = norm(rest);
      if (now < least) { found.x = further; found.left = rest; }
      go = now < least / 2 && now > GOAL;
    }
  };
  return run;
}

// Rows P ∂logits/∂x, one pull-back an output.
function jacobian(net, trace, project) {
  return Array.from(trace.logits, (_, k) => {
    const unit = new Float64Array(trace.logits.length);
    unit[k] = 1;
    return backward(net, trace, project(unit));
  });
}

// J D Jᵀ + m: D are the pixels off their bounds.
function gram(J, step, below, above, m) {
  const free = [];
  step.forEach((d, i) => { if (d > below[i] && d < above[i]) free.push(i); });
  return J.map((one, p) => Float64Array.from(J, (two, q) => {
    let s = p === q ? m : 0;
    if (q <= p) for (const i of free) s += one[i] * two[i];
    return s;
  }));
}

// Factor a symmetric matrix, of which the lower triangle is read; return what solves with it.
function cholesky(A) {
  const n = A.length, L = A.map((row) => row.slice());
  for (let i = 0; i < n; i++) {
    for (let j = 0, one = L[i]; j <= i; j++) {
      let s = one[j], two = L[j];
      for (let k = 0; k < j; k++) s -= one[k] * two[k];
      one[j] = i === j ? Math.sqrt(Math.max(s, 1e-300)) : s / two[j];
    }
  }
  return (right) => {
    const y = Float64Array.from(right);
    L.forEach((row, i) => {
      for (let k = 0; k < i; k++) y[i] -= row[k] * y[k];
      y[i] /= row[i];
    });
    for (let i = n - 1; i >= 0; i--) {
      y[i] /= L[i][i];
      for (let k = 0, row = L[i]; k < i; k++) y[k] -= row[k] * y[i];
    }
    return y;
  };
}
