// The network and its closed forms: forward, gradients, transposes, pseudo-inverses.
// Weights are float32, of shape (fan_in, fan_out) by rows. Sums are in double precision; what goes
// from layer to layer on the way back is rounded to float32, as JAX does: φ⁻¹ makes much of little.

const LEAK = 0.01;
const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
const logit = (a) => Math.log(a) - Math.log1p(-a);
const clip = (v, low, high) => Math.min(Math.max(v, low), high);

// φ, its slope at z (with a = φ(z)), φ⁻¹ where there is one, and the open interval it fills.
const ACTIVATIONS = {
  sigmoid: { of: sigmoid, slope: (z, a) => a * (1 - a), inverse: logit, low: 0, high: 1 },
  tanh: { of: Math.tanh, slope: (z, a) => 1 - a * a, inverse: Math.atanh, low: -1, high: 1 },
  leaky_relu: {
    of: (z) => (z >= 0 ? z : LEAK * z), slope: (z) => (z >= 0 ? 1 : LEAK),
    inverse: (a) => (a >= 0 ? a : a / LEAK), low: -Infinity, high: Infinity,
  },
  softplus: {
    of: softplus, slope: (z) => sigmoid(z),
    inverse: (a) => a + Math.log(-Math.expm1(-a)), low: 0, high: Infinity,
  },
  identity: { of: (z) => z, slope: () => 1, inverse: (a) => a, low: -Infinity, high: Infinity },
  relu: { of: (z) => Math.max(z, 0), slope: (z) => (z > 0 ? 1 : 0), inverse: null, low: 0, high: Infinity },
  softmax: { of: null, slope: null, inverse: Math.log, low: 0, high: 1 },
};

const sum = (v) => { let s = 0; for (let i = 0; i < v.length; i++) s += v[i]; return s; };
const dot = (a, b) => { let s = 0; for (let i = 0; i < a.length; i++) s += a[i] * b[i]; return s; };
const norm = (v) => Math.sqrt(dot(v, v));
const argmax = (v) => v.reduce((best, each, k) => (each > v[best] ? k : best), 0);
const largestGap = (a, b) => a.reduce((most, each, k) => Math.max(most, Math.abs(each - b[k])), 0);
const lessMean = (v) => { const mean = sum(v) / v.length; return v.map((each) => each - mean); };

function logSoftmax(z) {
  const top = Math.max(...z);
  const log = top + Math.log(sum(z.map((each) => Math.exp(each - top))));
  return z.map((each) => each - log);
}

const activate = (name, z) =>
  name === "softmax" ? logSoftmax(z).map(Math.exp) : z.map(ACTIVATIONS[name].of);

// φ⁻¹ of a vector; of all logits of a softmax the ones whose mean is zero.
const deactivate = (name, a) => {
  const z = Float32Array.from(a, ACTIVATIONS[name].inverse);
  return name === "softmax" ? lessMean(z) : z;
};

// Four rows of a matrix at a time are quicker, and so is one kind of array: browsers compile these
// loops for the kinds that they meet.

// a W, without the rows that nothing goes into.
function product(a, { W, n, m }) {
  const out = new Float64Array(m), v = new Float64Array(n + 3), row = new Int32Array(n + 3);
  let count = 0;
  for (let i = 0; i < n; i++) if (a[i] !== 0) { v[count] = a[i]; row[count++] = i * m; }
  for (let k = 0; k < count; k += 4) {
    const p = row[k], q = row[k + 1], r = row[k + 2], s = row[k + 3], one = v[k], two = v[k + 1], three = v[k + 2], four = v[k + 3];
    for (let j = 0; j < m; j++) out[j] += one * W[p + j] + two * W[q + j] + three * W[r + j] + four * W[s + j];
  }
  return out;
}

// z Wᵀ; rows past the last one are the last one again.
function transposed(z, { W, n, m }) {
  const v = new Float64Array(z), out = new Float64Array(n), rowAt = (i) => Math.min(i, n - 1) * m;
  for (let i = 0; i < n; i += 4) {
    const p = rowAt(i), q = rowAt(i + 1), r = rowAt(i + 2), s = rowAt(i + 3);
    let one = 0, two = 0, three = 0, four = 0;
    for (let j = 0; j < m; j++) {
      const x = v[j];
      one += x * W[p + j]; two += x * W[q + j]; three += x * W[r + j]; four += x * W[s + j];
    }
    out[i] = one; out[i + 1] = two; out[i + 2] = three; out[i + 3] = four;
  }
  return out;
}

// v S, of a symmetric matrix whose lower triangle is given by rows, each number of which counts twice.
function symmetric(vector, S) {
  const v = new Float64Array(vector), n = v.length, out = new Float64Array(n), whole = n - (n % 4);
  for (let i = 0; i < whole; i += 4) {
    const p = (i * (i + 1)) / 2, q = p + i + 1, r = q + i + 2, s = r + i + 3, a = v[i], b = v[i + 1], c = v[i + 2], d = v[i + 3];
    let one = 0, two = 0, three = 0, four = 0;
    for (let j = 0; j < i; j++) {
      const x = v[j], P = S[p + j], Q = S[q + j], R = S[r + j], T = S[s + j];
      one += P * x; two += Q * x; three += R * x; four += T * x;
      out[j] += P * a + Q * b + R * c + T * d;
    }
    out[i] += one; out[i + 1] += two; out[i + 2] += three; out[i + 3] += four;
  }
  // The diagonal, four by four, and the rows left over.
  for (let k = 0; k < n; k++) {
    for (let j = k < whole ? k - (k % 4) : 0, at = (k * (k + 1)) / 2 + j; j <= k; j++, at++) {
      out[k] += S[at] * v[j];
      if (j < k) out[j] += S[at] * v[k];
    }
  }
  return out;
}

// z W⁺ is z (WᵀW)⁺ Wᵀ, or z Wᵀ (WWᵀ)⁺ where W has fewer rows than columns; G is the smaller one.
const pseudoInverse = (z, layer) =>
  layer.m <= layer.n ? transposed(symmetric(z, layer.G), layer) : symmetric(transposed(z, layer), layer.G);

const addBias = (layer, z, sign) => (layer.b ? z.map((each, j) => each + sign * layer.b[j]) : z);

// Every number on the way forward: z of each layer, and a, the image first.
function forward(net, image) {
  const z = [], a = [new Float64Array(image)];
  for (const layer of net.layers) {
    z.push(addBias(layer, product(a[a.length - 1], layer), 1));
    a.push(activate(layer.phi, z[z.length - 1]));
  }
  return { z, a, logits: z[z.length - 1], outputs: a[a.length - 1] };
}

// The gradient at the image of what has this gradient at the logits.
function backward(net, trace, atLogits) {
  let d = atLogits;
  for (let l = net.layers.length - 1; l >= 0; l--) {
    d = transposed(d, net.layers[l]);
    if (l) {
      const { slope } = ACTIVATIONS[net.layers[l - 1].phi], z = trace.z[l - 1], a = trace.a[l];
      for (let j = 0; j < d.length; j++) d[j] *= slope(z[j], a[j]);
    }
  }
  return d;
}

// Map a vector onto [low, high] by its own extremes; a constant one becomes the middle.
function rescale(values, low, high, eps) {
  let least = Infinity, most = -Infinity;
  for (const v of values) { least = Math.min(least, v); most = Math.max(most, v); }
  const span = most - least, constant = !(span > 8 * eps * Math.max(Math.abs(least), Math.abs(most)));
  return {
    a: values.map((v) => (constant ? (low + high) / 2 : clip(low + ((v - least) / span) * (high - low), low, high))),
    failed: constant,
  };
}

const EPS32 = 2 ** -23;
const HIDDEN_RANGE = [0.01, 0.99], MARGIN = 0.01;
const isTotal = (phi) => !Number.isFinite(ACTIVATIONS[phi].low) && !Number.isFinite(ACTIVATIONS[phi].high);

// The book's interval for pixels, or the same shares of another range.
function bookRange(net) {
  const { low, high } = net, [from, to] = HIDDEN_RANGE;
  const fits = low >= 0 && low <= from && high >= to && high <= 1;
  return fits ? HIDDEN_RANGE : [low + from * (high - low), low + to * (high - low)];
}

// What happens to the inputs found for a layer: of pixels (phi null) or of activations phi.
function policyOf(net, method, policy, phi) {
  if (method === "transpose") return { kind: "rescale", range: phi ? HIDDEN_RANGE : bookRange(net) };
  const { low, high } = phi ? ACTIVATIONS[phi] : net;
  if (policy === "rescale") return { kind: "rescale", range: phi ? HIDDEN_RANGE : [low, high] };
  const hidden = net.layers.slice(0, -1);
  if (policy === "none" && (!phi || hidden.every((layer) => isTotal(layer.phi)))) return { kind: "none" };
  return { kind: "clip", range: phi ? [low + MARGIN, high - MARGIN] : [low, high] };
}

function settle(policy, raw) {
  if (policy.kind === "none") return { a: raw, failed: false };
  const [low, high] = policy.range;
  if (policy.kind === "rescale") return rescale(raw, low, high, EPS32);
  return { a: raw.map((v) => clip(v, low, high)), failed: false };
}

// Layer by layer from the target to the image; steps[l] is layer l: wanted, z, raw, a, policy.
function wayBack(net, target, method, policy) {
  const steps = [];
  let wanted = Float32Array.from(target);
  for (let l = net.layers.length - 1; l >= 0; l--) {
    const layer = net.layers[l], below = l ? net.layers[l - 1].phi : null;
    const z = deactivate(layer.phi, wanted);
    const raw = Float32Array.from(
      method === "transpose" ? transposed(z, layer) : pseudoInverse(addBias(layer, z, -1), layer));
    const rule = policyOf(net, method, policy, below);
    steps[l] = { wanted, z, raw, policy: rule, ...settle(rule, raw) };
    wanted = steps[l].a;
  }
  return steps;
}
