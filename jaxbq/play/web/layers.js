// The middle: what every layer was asked and what it gives, and one unit at a time.

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const byId = (id) => document.getElementById(id);
const show = (v) => {
  if (!Number.isFinite(v)) return "–";
  const size = Math.abs(v), digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || !size ? 2 : 3;
  const text = v.toFixed(digits).replace("-", "−");
  return size && size < 0.0005 ? v.toExponential(1).replace("-", "−") : text;
};
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const levelName = (l) =>
  l === 0 ? "Picture" : l === NET.layers.length ? "Outputs" : NET.layers.length === 2 ? "Hidden layer" : `Hidden layer ${l}`;

// One level: 0 are the pixels, L the outputs. Closed forms ask something of every level; methods
// that iterate ask of the outputs alone, so the others stand beside what they were at the start.
function levelOf(l, view) {
  const { run, trace, before } = view, last = l === NET.layers.length, given = trace.a[l];
  const { low, high } = l ? ACTIVATIONS[NET.layers[l - 1].phi] : GIVEN;
  if (last) return { asked: STATE.target, given, raw: null, low, high, policy: null };
  if (!run.steps) return { asked: before.a[l], given, raw: null, low, high, policy: null, start: true };
  const { raw, a, policy } = run.steps[l];
  return { asked: l || policy.kind === "rescale" ? a : raw, given, raw, low, high, policy };
}

function policyNote({ raw, policy, low, high }) {
  if (!raw) return "";
  let out = 0, most = 0, least = Infinity, top = -Infinity;
  for (const v of raw) {
    const excess = Math.max(low - v, v - high, 0);
    if (excess > 0) out += 1;
    most = Math.max(most, excess); least = Math.min(least, v); top = Math.max(top, v);
  }
  const found = `found ${show(least)} to ${show(top)}`;
  if (policy.kind === "rescale") return `${found}, rescaled to ${show(policy.range[0])} to ${show(policy.range[1])}`;
  const outside = `${out} of ${raw.length} outside, by up to ${show(most)}`;
  return out ? `${found}: ${outside}${policy.kind === "clip" ? ", clipped" : ", left as they are"}` : `${found}: all inside`;
}

function buildLayers(changed) {
  const home = byId("levels");
  for (let l = NET.layers.length; l >= 0; l--) {
    const size = l ? NET.layers[l - 1].m : PIXELS;
    const bars = element("canvas", { id: `bars-${l}`, className: "bars", tabIndex: 0 });
    const choose = (k) => { STATE.unit = [l, clip(k, 0, size - 1)]; changed("unit"); };
    bars.setAttribute("role", "slider");
    bars.setAttribute("aria-valuemin", 0);
    bars.setAttribute("aria-valuemax", size - 1);
    bars.setAttribute("aria-describedby", `note-${l}`);
    bars.addEventListener("pointerdown", (event) => choose(Math.floor((event.offsetX / bars.clientWidth) * size)));
    bars.addEventListener("keydown", (event) => {
      const now = STATE.unit && STATE.unit[0] === l ? STATE.unit[1] : -1;
      const to = { ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1, Home: 0, End: size - 1, PageDown: now - 10, PageUp: now + 10 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(to);
    });
    const kind = l ? `${size} units, ${NET.layers[l - 1].phi.replace("_", " ")}` : `${size} pixels`;
    home.append(element("div", { className: "level" },
      element("h3", {}, levelName(l), element("small", { textContent: ` ${kind}` }), element("output", { id: `apart-${l}` })),
      bars, element("p", { id: `note-${l}`, className: "note" })));
  }
}

function showLayers(view) {
  for (let l = NET.layers.length; l >= 0; l--) {
    const level = levelOf(l, view), bars = byId(`bars-${l}`), mine = STATE.unit && STATE.unit[0] === l;
    const cut = level.policy && level.policy.kind !== "rescale" ? level.raw : null;
    showBars(bars, { ...level, raw: cut, chosen: mine ? STATE.unit[1] : -1 });
    const apart = largestGap(level.asked, level.given), than = level.start ? "since the start" : level.asked === level.raw ? "found − picture" : "asked − given";
    put(byId(`apart-${l}`), `${than}: ${show(apart)} at most`);
    put(byId(`note-${l}`), policyNote(level) || (level.start ? "This method asks nothing of it: the outline is what it was at the start." : ""));
    const unit = mine ? STATE.unit[1] : 0;
    bars.setAttribute("aria-label", `${levelName(l)}: ${level.given.length} pairs of bars; arrows choose a unit`);
    bars.setAttribute("aria-valuenow", unit);
    bars.setAttribute("aria-valuetext", mine ? `unit ${unit}: ${show(level.asked[unit])} and ${show(level.given[unit])}` : "no unit chosen");
  }
  showUnit(view);
}

// The arithmetic of a unit: its ten largest terms, the rest, the bias, the sum, the activation.
function arithmetic(view, l, k) {
  const layer = NET.layers[l - 1], inputs = view.trace.a[l - 1];
  let top = [], rest = 0;
  for (let i = 0; i < layer.n; i++) {
    const a = inputs[i], w = layer.W[i * layer.m + k], term = a * w, size = Math.abs(term);
    rest += term;
    let at = top.length;
    while (at && Math.abs(top[at - 1].term) < size) at -= 1;
    if (at < 10) top = [...top.slice(0, at), { i, a, w, term }, ...top.slice(at, 9)];
  }
  for (const { term } of top) rest -= term;
  return { top, rest, others: Math.max(layer.n - 10, 0), bias: layer.b ? layer.b[k] : 0, z: view.trace.z[l - 1][k], a: view.trace.a[l][k] };
}

// The network's answer with one unit held at nothing, and where that changes it most.
function switchedOff(view, l, k) {
  const held = view.trace.a[l].slice();
  held[k] = l ? 0 : GIVEN.low;
  let a = held;
  for (const layer of NET.layers.slice(l)) a = activate(layer.phi, addBias(layer, product(a, layer), 1));
  const most = argmax(a.map((v, j) => Math.abs(v - view.trace.outputs[j])));
  return { outputs: a, most, from: view.trace.outputs[most], to: a[most] };
}

function showUnit(view) {
  const panel = byId("unit");
  panel.hidden = !STATE.unit;
  if (!STATE.unit) return;
  const [l, k] = STATE.unit, last = l === NET.layers.length, inputName = l > 1 ? "unit" : "pixel";
  const place = l ? (last ? `output “${CLASSES[k]}”` : `unit ${k}`) : `pixel ${k} (row ${Math.floor(k / CHANNELS / WIDTH) + 1}, column ${(Math.floor(k / CHANNELS) % WIDTH) + 1})`;
  put(byId("unit-title"), l && !last ? `${levelName(l)}, ${place}` : place[0].toUpperCase() + place.slice(1));
  byId("weights").hidden = byId("weights-note").hidden = byId("terms").hidden = !l;
  if (l) {
    const layer = NET.layers[l - 1], shown = byId("weights");
    if (shown.unit !== `${l}.${k}`) {
      shown.unit = `${l}.${k}`;
      const weights = Float64Array.from({ length: layer.n }, (_, i) => layer.W[i * layer.m + k]);
      showWeights(shown, weights);
      shown.setAttribute("aria-label", `the ${layer.n} weights into it, ${show(Math.min(...weights))} to ${show(Math.max(...weights))}`);
    }
    const { top, rest, others, bias, z, a } = arithmetic(view, l, k), rows = byId("terms");
    const lines = top.map(({ i, a: x, w, term }) => [`${inputName} ${i}`, `${show(x)} × ${show(w)}`, term]);
    if (others) lines.push([`${others} more`, "", rest]);
    lines.push(["bias", layer.b ? "" : "none", bias], ["sum z", "", z], [layer.phi === "softmax" ? "softmax" : `φ(z), ${layer.phi.replace("_", " ")}`, "", a]);
    while (rows.rows.length < lines.length) rows.insertRow().append(element("th", { scope: "row" }), element("td"), element("td"));
    while (rows.rows.length > lines.length) rows.deleteRow(-1);
    lines.forEach(([name, product_, value], row) => {
      [name, product_, (value > 0 && row < lines.length - 2 ? "+" : "") + show(value)].forEach((text, j) => put(rows.rows[row].cells[j], text));
      rows.rows[row].className = row >= lines.length - 2 ? "total" : value < 0 ? "minus" : "plus";
    });
  }
  const off = last ? null : switchedOff(view, l, k);
  put(byId("off"), last ? "An output answers; switching it off changes no other."
    : `${l ? "Switched off" : "At the low end"}, it moves the outputs by ${show(Math.abs(off.to - off.from))} at most: “${CLASSES[off.most]}” from ${show(off.from)} to ${show(off.to)}.`);
}
