// What the page was given, what one can choose, and the address that holds all of it.

const GIVEN = JSON.parse(document.getElementById("data").textContent);
function bytesOf(text) {
  const read = atob(text), bytes = new Uint8Array(read.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = read.charCodeAt(i);
  return bytes;
}
const floats = (text) => new Float32Array(bytesOf(text).buffer);

const NETWORKS = GIVEN.networks.map(({ name, layers }) => ({
  name, low: GIVEN.low, high: GIVEN.high, output: layers[layers.length - 1].phi,
  layers: layers.map(({ n, m, phi, W, b, G }) => ({
    n, m, phi, W: floats(W), b: b && floats(b), G: G && new Float64Array(bytesOf(G).buffer),
  })),
}));
const NET = NETWORKS[0], PIXELS = NET.layers[0].n, CLASSES = GIVEN.classes, N = CLASSES.length;
const PRIOR_OF_IMAGES = GIVEN.prior && {
  ...GIVEN.prior, mean: floats(GIVEN.prior.mean),
  root: GIVEN.prior.root && new Float64Array(floats(GIVEN.prior.root)),
  rows: GIVEN.prior.rows && floats(GIVEN.prior.rows),
};
// Bytes 0 to 255 are the pixel range.
const fromBytes = (bytes) => Float64Array.from(bytes, (b) => GIVEN.low + ((GIVEN.high - GIVEN.low) * b) / 255);
const rowsOf = (set) => {
  if (!set) return [];
  const pixels = bytesOf(set.pixels);
  return set.labels.map((label, k) => ({ label, bytes: pixels.subarray(k * PIXELS, (k + 1) * PIXELS) }));
};
const IMAGES = rowsOf(GIVEN.images).map((row) => ({ ...row, image: fromBytes(row.bytes) }));
const EXAMPLES = rowsOf(GIVEN.examples);

const SOFTMAX = NET.output === "softmax", BOUNDED = Number.isFinite(ACTIVATIONS[NET.output].high);
const ANALYTIC = NET.layers.every((layer) => ACTIVATIONS[layer.phi].inverse);
const METHODS = [
  ["transpose", "Transpose", ANALYTIC, "The book: inverse activation, times Wᵀ, rescale, layer by layer."],
  ["pseudo_inverse", "Pseudo-inverse", ANALYTIC, "The least-squares inverse W⁺ of each layer, then a policy."],
  ["ascent", "Pixel ascent", true, "Projected gradient steps on the pixels towards the target."],
  ["whitened", "Whitened ascent", !!PRIOR_OF_IMAGES, "Ascent along what the training images vary in, at a price."],
  ["preimage", "Exact preimage", !!ACTIVATIONS[NET.output].inverse, "Solve network(x) = target for x in the pixel range."],
];
const POLICIES = [["clip", "clip"], ["rescale", "rescale"], ["none", "none"]];
const STARTS = [["grey", "grey"], ["mean", "mean image"], ["drawing", "my drawing"], ["noise", "noise"]];
const isUsable = (method) => METHODS.some(([kind, , usable]) => kind === method && usable);
const iterates = (method) => !["transpose", "pseudo_inverse"].includes(method);

// The code of some classes: 0.99 and 0.01; of a softmax shares that sum to one.
const OFF = SOFTMAX ? 0.01 / Math.max(N - 1, 1) : 0.01;
function codeOf(classes) {
  if (!SOFTMAX) return CLASSES.map((_, k) => (classes.includes(k) ? 0.99 : OFF));
  if (!classes.length || classes.length === N) return CLASSES.map(() => 1 / N);
  const off = 0.01 / (N - classes.length);
  return CLASSES.map((_, k) => (classes.includes(k) ? 0.99 / classes.length : off));
}
const tidy = (v) => Number(v.toPrecision(9));

// Sliders run from −1 to 1000 steps of φ⁻¹, so that 0.9, 0.99 and 0.999 are equally far apart.
// Outputs without an end go as far as the training images take them, with some room.
const ENDS = BOUNDED ? [0.001, 0.999].map(logit) : IMAGES.reduce(([low, high], { image }) => {
  const { outputs } = forward(NET, image);
  return [Math.min(low, ...outputs), Math.max(high, ...outputs)];
}, [ACTIVATIONS[NET.output].low < 0 ? -1 : 0.001, 2]);
const shareOf = (a) => { const { low, high } = ACTIVATIONS[NET.output]; return (a - low) / (high - low); };
const toSlider = (a) => {
  const [from, to] = ENDS, v = BOUNDED ? logit(clip(shareOf(a), 1e-9, 1 - 1e-9)) : a;
  return clip((1000 * (v - from)) / (to - from), 0, 1000);
};
function fromSlider(position) {
  const [from, to] = ENDS, v = from + ((to - from) * position) / 1000;
  if (!BOUNDED) return Number(v.toFixed(3));
  const { low, high } = ACTIVATIONS[NET.output], share = sigmoid(v);
  return Number((low + share * (high - low)).toPrecision(share > 0.5 ? 4 : 3));
}

// The unit of the last hidden layer that speaks loudest for a class.
function loudest(k) {
  const l = NET.layers.length - 1, { W, n, m } = NET.layers[l];
  return l ? [l, argmax(Array.from({ length: n }, (_, i) => W[i * m + k]))] : null;
}

const BLANK = new Uint8Array(PIXELS);
const initial = () => ({
  target: codeOf([0]), method: METHODS.find(([, , usable]) => usable)[0], policy: "clip", start: "grey",
  ink: BLANK, example: -1, seed: 1, at: null, unit: loudest(0), tour: 0,
});
const STATE = initial();

function setOutput(k, value) {
  const target = STATE.target.slice();
  if (SOFTMAX) {
    const others = 1 - target[k], left = 1 - clip(value, 0.0005, 0.9995);
    target.forEach((a, j) => { target[j] = j === k ? 1 - left : Math.max((a * left) / others, 1e-6); });
    const whole = sum(target);
    target.forEach((a, j) => { target[j] = a / whole; });
  } else target[k] = value;
  STATE.target = target.map(tidy);
}

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
const unbase64url = (text) => bytesOf(text.replace(/-/g, "+").replace(/_/g, "/"));

function toFragment() {
  const words = new URLSearchParams({ m: STATE.method, t: STATE.target.join(",") });
  if (STATE.method === "pseudo_inverse") words.set("p", STATE.policy);
  words.set("s", STATE.start);
  if (STATE.example >= 0) words.set("e", STATE.example);
  else if (STATE.ink.some((b) => b)) words.set("d", base64url(STATE.ink));
  if (STATE.start === "noise") words.set("n", STATE.seed);
  if (STATE.at !== null) words.set("at", STATE.at);
  if (STATE.unit) words.set("u", STATE.unit.join("."));
  if (STATE.tour) words.set("tour", STATE.tour);
  return `#${words.toString().replace(/%2C/g, ",")}`;
}

// What does not fit this network is left at its default.
function fromFragment(fragment) {
  const words = new URLSearchParams(fragment.replace(/^#/, "")), fresh = initial();
  const whole = (name, low, high) => {
    const text = words.get(name);
    return /^\d{1,9}$/.test(text ?? "") && +text >= low && +text <= high ? +text : null;
  };
  const { low, high } = ACTIVATIONS[NET.output];
  const target = (words.get("t") ?? "").split(",").map((text) => (text.trim() ? Number(text) : NaN));
  const fits = target.every((a) => Number.isFinite(a) && a > low && a < high && Math.abs(a) < 1e6);
  if (target.length === N && fits && (!SOFTMAX || Math.abs(sum(target) - 1) < 1e-6)) fresh.target = target;
  if (isUsable(words.get("m"))) fresh.method = words.get("m");
  if (POLICIES.some(([kind]) => kind === words.get("p"))) fresh.policy = words.get("p");
  if (STARTS.some(([kind]) => kind === words.get("s"))) fresh.start = words.get("s");
  const example = whole("e", 0, EXAMPLES.length - 1);
  if (example !== null) { fresh.example = example; fresh.ink = EXAMPLES[example].bytes; }
  try {
    const ink = unbase64url(words.get("d") ?? "");
    if (ink.length === PIXELS) { fresh.ink = ink; fresh.example = -1; }
  } catch { /* no drawing */ }
  fresh.seed = whole("n", 0, 1e9 - 1) ?? fresh.seed;
  fresh.at = iterates(fresh.method) ? whole("at", 0, STEPS) : null;
  const [level, unit] = (words.get("u") ?? "").split(".").map(Number), sizes = [PIXELS, ...NET.layers.map((l) => l.m)];
  if (Number.isInteger(level) && Number.isInteger(unit) && unit >= 0 && unit < (sizes[level] ?? 0)) fresh.unit = [level, unit];
  fresh.tour = whole("tour", 0, 5) ?? 0;
  if (fresh.start === "mean" && !PRIOR_OF_IMAGES) fresh.start = "grey";
  Object.assign(STATE, fresh);
}

// Noise as bytes, the same for the same seed, so that Python can start from it too.
function noiseBytes(seed) {
  let s = seed >>> 0;
  return Uint8Array.from({ length: PIXELS }, () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) >>> 24;
  });
}

function startImage() {
  const { low, high } = GIVEN;
  if (STATE.start === "mean" && PRIOR_OF_IMAGES) return Float64Array.from(PRIOR_OF_IMAGES.mean);
  if (STATE.start === "drawing") return fromBytes(STATE.ink);
  if (STATE.start === "noise") return fromBytes(noiseBytes(STATE.seed));
  return new Float64Array(PIXELS).fill((low + high) / 2);
}

// A method on a network: a run of frames; closed forms have one frame, and their steps.
function runOn(net) {
  const { method, target } = STATE;
  if (!iterates(method)) {
    const steps = wayBack(net, target, method, STATE.policy);
    return { frames: [steps[0].a], best: 0, done: true, reason: steps.some((s) => s.failed) ? "constant" : "computed", steps };
  }
  if (method === "ascent") return pixelAscent(net, target, startImage());
  if (method === "whitened") return whitenedAscent(net, PRIOR_OF_IMAGES, target, startImage());
  return exactPreimage(net, target, startImage());
}
