// Pictures, weights and bars on canvases.

const [HEIGHT, WIDTH, CHANNELS] = GIVEN.shape;
const colours = () => {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(`--${name}`).trim();
  return { ink: get("ink"), soft: get("soft"), rule: get("rule"), faint: get("faint"), asked: get("asked"), given: get("given"), paper: get("paper") };
};
let COLOURS = colours();

function putPixels(canvas, height, width, colour) {
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d"), data = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    const [r, g, b] = colour(i);
    data.data.set([r, g, b, 255], 4 * i);
  }
  context.putImageData(data, 0, 0);
}

// An image in its range, grey or in colour; what lies outside is shown at the end.
function showImage(canvas, image) {
  const { low, high } = GIVEN, byte = (v) => (255 * (v - low)) / (high - low);
  putPixels(canvas, HEIGHT, WIDTH, CHANNELS === 3
    ? (i) => [byte(image[3 * i]), byte(image[3 * i + 1]), byte(image[3 * i + 2])]
    : (i) => { const v = byte(image[i]); return [v, v, v]; });
}

const showBytes = (canvas, bytes) => showImage(canvas, fromBytes(bytes));

// Weights: orange for plus, blue for minus, white for none; of a deeper layer in rows.
function showWeights(canvas, weights) {
  const pixels = weights.length === PIXELS && CHANNELS === 1;
  const width = pixels ? WIDTH : Math.ceil(Math.sqrt(weights.length));
  const most = weights.reduce((top, w) => Math.max(top, Math.abs(w)), 1e-12);
  putPixels(canvas, pixels ? HEIGHT : Math.ceil(weights.length / width), width, (i) => {
    const share = (weights[i] ?? 0) / most, strong = Math.abs(share), to = share > 0 ? [213, 94, 0] : [0, 114, 178];
    return to.map((c) => 250 + (c - 250) * strong);
  });
}

// A canvas as sharp as the screen, with its size in CSS pixels.
function sharp(canvas) {
  const ratio = globalThis.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// Pairs of bars in the order of the units: asked hollow, given filled; wide layers have a dash for
// what is asked. The domain is shaded, and what a policy cut off is marked at the edge.
function showBars(canvas, { asked, given, raw, low, high, chosen }) {
  const { context, width, height } = sharp(canvas), n = given.length, each = width / n, edge = 7;
  let least = 0, most = 0;
  for (const values of [asked, given, raw]) {
    if (values) for (const v of values) { least = Math.min(least, v); most = Math.max(most, v); }
  }
  if (Number.isFinite(low)) least = Math.min(least, low);
  if (Number.isFinite(high)) most = Math.max(most, high);
  const y = (v) => edge + ((most - clip(v, least, most)) / (most - least || 1)) * (height - 2 * edge), zero = y(0);
  context.fillStyle = COLOURS.faint;
  const top = y(Number.isFinite(high) ? high : most);
  context.fillRect(0, top, width, y(Number.isFinite(low) ? low : least) - top);
  if (chosen >= 0) {
    context.fillStyle = COLOURS.rule;
    context.fillRect(chosen * each - 1, 0, Math.max(each, 2) + 2, height);
  }
  const wide = each >= 7;
  context.fillStyle = COLOURS.given;
  for (let k = 0; k < n; k++) {
    const from = wide ? k * each + each / 2 : k * each, size = wide ? each / 2 - 1.5 : Math.max(each * 0.8, 0.6);
    context.fillRect(from, Math.min(zero, y(given[k])), size, Math.max(Math.abs(y(given[k]) - zero), 0.8));
  }
  if (asked) {
    context.strokeStyle = context.fillStyle = COLOURS.asked;
    context.lineWidth = 1.5;
    for (let k = 0; k < n; k++) {
      const at = y(asked[k]);
      if (wide) context.strokeRect(k * each + 1.5, Math.min(zero, at), each / 2 - 3, Math.abs(at - zero));
      else context.fillRect(k * each, at - 1, Math.max(each, 1.2), 2);
    }
  }
  context.fillStyle = COLOURS.ink;
  if (raw) for (let k = 0; k < n; k++) {
    if (raw[k] > high || raw[k] < low) context.fillRect(k * each + each / 2 - 0.75, raw[k] > high ? 0 : height - 5, 1.5, 5);
  }
  context.fillRect(0, zero - 0.5, width, 1);
}
