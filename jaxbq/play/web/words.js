// What is to be seen, in words made of the numbers; the command that gives the same; the tour.

const list = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`);
const percent = (share) => `${share > 0 && share < 0.01 ? "under 1" : Math.round(100 * share)} %`;

// The classes that a target names: those at least a quarter of the way up from its least entry.
function namedClasses(target) {
  const least = Math.min(...target), span = Math.max(...target) - least;
  return span < 1e-6 ? [] : CLASSES.map((_, k) => k).filter((k) => target[k] - least >= 0.25 * span).sort((j, k) => target[k] - target[j]);
}
function askedFor(target) {
  const named = namedClasses(target);
  if (!named.length) return target[0] > 0.5 && N > 2 ? "all of them" : "none of them";
  return named.length > 4 ? `${named.length} classes` : list(named.map((k) => CLASSES[k]));
}

// A vector less its mean, of length 1: the product of two is their correlation.
function direction(v) {
  const centred = lessMean(new Float64Array(v)), size = norm(centred);
  return size > 1e-12 ? centred.map((each) => each / size) : centred.fill(0);
}
const correlation = (one, two) => dot(direction(one), direction(two));
const CLASS_MEANS = CLASSES.map((_, k) => {
  const own = IMAGES.filter(({ label }) => label === k), total = new Float64Array(PIXELS);
  for (const { image } of own) for (let i = 0; i < PIXELS; i++) total[i] += image[i];
  return own.length ? direction(total) : null;
});

function closestMean(image) {
  const own = direction(image), likeness = CLASS_MEANS.map((mean) => (mean ? dot(own, mean) : -1)), best = argmax(likeness);
  return { best, likeness: likeness[best] };
}

// |x − y|² = |x|² − 2 x·y + |y|², for all images y at once.
const ROWS = new Float32Array(IMAGES.length * PIXELS), SQUARES = IMAGES.map(({ image }) => dot(image, image));
IMAGES.forEach(({ image }, k) => ROWS.set(image, k * PIXELS));
function nearestImage(image) {
  if (!IMAGES.length) return null;
  const like = transposed(image, { W: ROWS, n: IMAGES.length, m: PIXELS }), best = IMAGES[argmax(like.map((v, k) => 2 * v - SQUARES[k]))];
  return { ...best, distance: norm(best.image.map((v, i) => v - image[i])) };
}

const SLACK = 1e-6 * (GIVEN.high - GIVEN.low); // the ends as float32
const outOfRange = (image) => image.reduce((count, v) => count + (v < GIVEN.low - SLACK || v > GIVEN.high + SLACK), 0);

// Whether the target is met: within a hundredth of what outputs can differ by.
const isMet = (error) => error <= 0.01 * (BOUNDED ? ACTIVATIONS[NET.output].high - ACTIVATIONS[NET.output].low : 1) + 1e-9;

function sentence(view) {
  const { image, trace, run, start } = view, { method } = STATE, target = STATE.target;
  const words = [], top = argmax(trace.outputs), wanted = argmax(target), classless = !namedClasses(target).length;
  const error = largestGap(trace.outputs, target), met = isMet(error), ask = askedFor(target);
  const own = STATE.start === "drawing" && iterates(method) && STATE.ink.some((b) => b);
  let seen = null;
  if (own) {
    const label = STATE.example >= 0 ? EXAMPLES[STATE.example].label : argmax(forward(NET, start).outputs);
    const r = correlation(image, start), name = STATE.example >= 0 ? `your ${CLASSES[label]}` : `your drawing, which the network reads as ${CLASSES[label]}`;
    seen = r >= 0.6 ? label : null;
    words.push(r >= 0.6 ? `The picture still looks like ${name} (correlation ${show(r)})` : r >= 0.3
      ? `The picture keeps a trace of ${name} (correlation ${show(r)})` : `Little is left of ${name} (correlation ${show(r)})`);
  } else if (IMAGES.length) {
    const { best, likeness } = closestMean(image);
    seen = likeness >= 0.5 ? best : null;
    words.push(likeness >= 0.5 ? `The picture resembles the mean ${CLASSES[best]} (correlation ${show(likeness)})`
      : `The picture resembles no class (at most ${show(likeness)}, with the mean ${CLASSES[best]})`);
  }
  let answers = `the network answers ${CLASSES[top]} with ${show(trace.outputs[top])}`;
  if (classless) answers = `the network is off by at most ${show(error)}`;
  if (met) answers += ", as asked";
  else if (classless) answers += ` where ${ask} was asked`;
  else if (top === wanted) answers += ` where ${show(target[wanted])} was asked; some output is off by ${show(error)}`;
  else answers += ` where ${ask} was asked`;
  const strange = seen === null || !namedClasses(target).includes(seen);
  const joint = met ? (strange ? ", yet " : ", and ") : top === wanted ? ", and " : ", but ";
  words.push(words.length ? joint + answers : answers);
  const outside = outOfRange(image), last = iterates(method) && view.at < run.frames.length - 1 && view.at !== run.best;
  let more = ".";
  if (last || !run.done) more = `; this is step ${view.at}${run.done ? ` of ${run.frames.length - 1}` : ""}.`;
  else if (outside) more = `; but ${percent(outside / PIXELS)} of its pixels lie outside the range.`;
  else if (method === "preimage" && run.reason === "reached") more = PIXELS > N ? `: it is one of infinitely many that do, for ${N} numbers leave ${PIXELS} pixels free.` : ".";
  else if (method === "preimage") more = `; no small step from here comes closer (what is left of the logits: ${show(run.residuals[run.best])}).`;
  else if (method === "pseudo_inverse" && !met) {
    const before = largestGap(forward(NET, run.steps[0].raw).outputs, target);
    more = `; before the ${STATE.policy} of the pixels it was off by ${show(before)}.`;
  } else if (method === "transpose" && !met) more = `: Wᵀ is no inverse of W.`;
  const text = words.join("") + more;
  return text[0].toUpperCase() + text.slice(1);
}

const quote = (text) => (/^[\w.,/:=+-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);

function command() {
  const { method, policy, target, start } = STATE, sets = [];
  const total = NET.layers.slice(0, -1).every((layer) => isTotal(layer.phi));
  if (method === "pseudo_inverse") sets.push(`pixel_policy=${policy}`, `hidden_policy=${policy === "none" && !total ? "clip" : policy}`);
  const usual = method === "whitened" ? "mean" : "grey";
  if (iterates(method) && (start === "drawing" || start === "noise")) return inPython();
  if (iterates(method) && start !== usual) sets.push(`start=${start}`);
  const k = CLASSES.findIndex((_, c) => codeOf([c]).every((a, j) => Math.abs(a - target[j]) < 1e-9));
  const asked = k >= 0 ? (CLASSES[k].startsWith("-") ? `--target=${quote(CLASSES[k])}` : `--target ${quote(CLASSES[k])}`) : `--target-vector ${target.join(",")}`;
  const data = GIVEN.dataName ? ` --data ${quote(GIVEN.dataName)}` : "";
  return `jaxbq invert ${GIVEN.source} --method ${method}${sets.map((s) => ` --set ${s}`).join("")} ${asked}${data} --figure picture.png`;
}

// A start of one's own has no command; in Python it has.
function inPython() {
  const { method, target, start, seed, ink } = STATE, { low, high, dataName } = GIVEN;
  const ask = { ascent: 'jaxbq.Ascent(start="images")', whitened: 'jaxbq.preset("whitened", start="images")', preimage: 'jaxbq.Preimage(start="images")' }[method];
  const pixels = btoa(String.fromCharCode(...(start === "noise" ? noiseBytes(seed) : ink)));
  const images = method === "whitened" ? `source_of(${JSON.stringify(dataName)}).load().train_images` : "None";
  return [
    "import base64, jaxbq, numpy as np",
    ...(method === "whitened" ? ["from jaxbq.data import source_of"] : []),
    `net = jaxbq.load_network(${JSON.stringify(GIVEN.source.split(" ")[0])})`,
    `x = np.frombuffer(base64.b64decode("${pixels}"), np.uint8)[None] / 255 * ${high - low} + ${low}`,
    `reference = jaxbq.Reference(net.space, ${images}, starts=x)`,
    `target = np.array([[${target.join(", ")}]])`,
    `print(jaxbq.invert(${ask}, net.model, net.params, target, reference=reference).outputs)`,
  ].join("\n");
}

// Five questions of a learner's; each sets the state and says what to look at, with its numbers.
const TOUR = [
  ["Why does Wᵀ show anything?", { method: "transpose", unit: true }, (view) =>
    `Every unit adds the image of its own weights: with plus if it speaks for a ${CLASSES[0]}, with minus if against. Sums like this are called matched filters: one step of gradient ascent, no inverse.${IMAGES.length && CLASS_MEANS[0] ? ` Look at the picture: its correlation with the mean ${CLASSES[0]} is ${show(correlation(view.image, CLASS_MEANS[0]))}.` : ""} Then look at the unit below the layers: it speaks loudest for a ${CLASSES[0]}.`],
  ["Why is it not the inverse?", { method: "transpose" }, (view) =>
    `An inverse would give back what was asked. Look at the outputs: outlined bars were asked, filled ones are given. They differ by up to ${show(largestGap(view.trace.outputs, STATE.target))}. And the strength does not count: move the slider of ${CLASSES[0]}, and the picture stays nearly as it is.`],
  ["What does the clip lose?", { method: "pseudo_inverse", policy: "clip" }, (view) => {
    const raw = view.run.steps?.[0].raw ?? view.image;
    return `W⁺ gives each layer the least inputs that answer what is asked. But such pixels know no range: ${percent(outOfRange(raw) / PIXELS)} lie outside it. Look at the marks along the edges of the picture's bars. Before the clip the outputs are off by ${show(largestGap(forward(NET, raw).outputs, STATE.target))}, after it by ${show(largestGap(view.trace.outputs, STATE.target))}. Try the policy “none”.`;
  }],
  ["Why mush?", { method: "preimage", start: "noise" }, (view) =>
    `This picture began as noise, and the network's answer is off by ${show(largestGap(view.trace.outputs, STATE.target))} at most. It needs to show nothing: ${N} numbers were asked, ${PIXELS} pixels can move, so at least ${Math.max(PIXELS - N, 0)} directions change no answer. Draw something and start from it: it stays what you drew.`],
  ["What is a better question?", { method: "whitened", start: "mean" }, (view) =>
    `Ask for a picture that the network answers ${CLASSES[0]} and that varies as training images do. No label goes into that wish.${CLASS_MEANS[0] ? ` Look at the picture: correlation ${show(correlation(view.image, CLASS_MEANS[0]))} with the mean ${CLASSES[0]}.` : ""} And look at the networks that learnt nothing: the same question shows nothing there. So it is the network that speaks.`],
].filter(([, { method }]) => isUsable(method));
