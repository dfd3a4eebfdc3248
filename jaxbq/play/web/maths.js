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

// a W
function product(a, layer) {
  const { W, n, m } = layer, out = new Float64Array(m);
  for (let i = 0; i < n; i++) {
    const v = a[i];
    if (v !== 0) for (let j = 0, at = i * m; j < m; j++, at++) out[j] += v * W[at];
  }
  return out;
}

// The products of a vector with the rows of a float32 matrix. Four sums at a time are quicker, and
// so is one kind of array: browsers compile this loop for the kinds that they meet.
function timesRows(vector, matrix, rows) {
  const v = new Float64Array(vector), m = v.length, out = new Float64Array(rows);
  for (let i = 0, at = 0; i < rows; i++) {
    let one = 0, two = 0, three = 0, four = 0, j = 0;
    for (; j + 3 < m; j += 4, at += 4) {
      one += v[j] * matrix[at];
      two += v[j + 1] * matrix[at + 1];
      three += v[j + 2] * matrix[at + 2];
      four += v[j + 3] * matrix[at + 3];
    }
    for (; j < m; j++, at++) one += v[j] * matrix[at];
    out[i] = one + two + three + four;
  }
  return out;
}
const transposed = (z, layer) => timesRows(z, layer.W, layer.n);
const symmetric = (v, S) => Float64Array.from(v, (_, i) => dot(v, S.subarray(i * v.length, (i + 1) * v.length)));

// z W⁺ is z (WᵀW)⁺ Wᵀ, or z Wᵀ (WWᵀ)⁺ where W has fewer rows than columns; G is the smaller one.
const pseudoInverse = (z, layer) =>
  layer.m <= layer.n ? transposed(symmetric(z, layer.G), layer) : symmetric(transposed(z, layer), layer.G);

const addBias = (layer, z, sign) => (layer.b ? z.map((each, j) => each + sign * layer.b[j]) : z);

// Every number on the way forward: z of each layer, and a, the image first.
function forward(net, image) {
  const z = [], a = [Float64Array.from(image)];
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
