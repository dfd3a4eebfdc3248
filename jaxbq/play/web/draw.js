// Pictures, weights and bars on canvases.

const [HEIGHT, WIDTH, CHANNELS] = GIVEN.shape;
function colours() {
  const style = getComputedStyle(document.documentElement), names = ["ink", "rule", "faint", "asked", "given"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
let COLOURS = colours();

// Fill a canvas, a pixel for a pixel: `fill` writes red, green, blue, opacity of each in turn.
function putPixels(canvas, height, width, fill) {
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  fill(picture.data.fill(255));
  context.putImageData(picture, 0, 0);
}

// An image in its range, grey or in colour; what lies outside is shown at the end.
function showImage(canvas, image) {
  if (canvas.shown === image) return;
  canvas.shown = image;
  const { low, high } = GIVEN, scale = 255 / (high - low), grey = CHANNELS !== 3;
  putPixels(canvas, HEIGHT, WIDTH, (bytes) => {
    for (let i = 0; i < HEIGHT * WIDTH; i++) {
      for (let c = 0; c < 3; c++) bytes[4 * i + c] = scale * (image[grey ? i * CHANNELS : 3 * i + c] - low);
    }
  });
}

const showBytes = (canvas, bytes) => showImage(canvas, fromBytes(bytes));

// Weights: orange for plus, blue for minus, white for none; of a deeper layer in rows.
function showWeights(canvas, weights) {
  const pixels = weights.length === PIXELS && CHANNELS === 1;
  const width = pixels ? WIDTH : Math.ceil(Math.sqrt(weights.length));
  const most = weights.reduce((top, w) => Math.max(top, Math.abs(w)), 1e-12);
  putPixels(canvas, pixels ? HEIGHT : Math.ceil(weights.length / width), width, (bytes) => {
    weights.forEach((w, i) => {
      const strong = Math.abs(w) / most, to = w > 0 ? [213, 94, 0] : [0, 114, 178];
      for (let c = 0; c < 3; c++) bytes[4 * i + c] = 250 + (to[c] - 250) * strong;
    });
  });
}

// A canvas as sharp as the screen, with its size in CSS pixels, which is asked once: to ask in the
// middle of a frame makes the browser lay out the whole page.
const SIZES = new Map();
function sharp(canvas) {
  if (!SIZES.has(canvas)) SIZES.set(canvas, [canvas.clientWidth, canvas.clientHeight]);
  const ratio = globalThis.devicePixelRatio || 1, [width, height] = SIZES.get(canvas);
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
