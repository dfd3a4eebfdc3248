// The page itself: what is clicked, dragged, drawn and typed, and a frame that shows all of it.

const VIEW = { run: null, image: null, trace: null, before: null, start: null, at: 0, others: [] };
const FIRST_MS = 8, MOST_MS = 24, calm = matchMedia("(prefers-reduced-motion: reduce)");
let stale = true, scheduled = false, computed = 0, playing = null, undo = [], cursor = [HEIGHT >> 1, WIDTH >> 1];

// What changed says what has to be done again: "ask" everything, "unit" and "at" only the showing.
function changed(what) {
  if (what === "ask") { stale = true; STATE.at = null; playing = null; }
  schedule();
  later("address", 250, () => {
    try { history.replaceState(null, "", toFragment()); } catch { /* a frame without an address */ }
  });
}
function schedule() { if (!scheduled) { scheduled = true; requestAnimationFrame(tick); } }
const timers = {};
function later(name, wait, act) {
  clearTimeout(timers[name]);
  timers[name] = setTimeout(act, wait);
}

function tick() {
  scheduled = false;
  // What was asked is seen soon; then as long is computed as the last frame took to be drawn.
  const now = performance.now(), until = now + (stale ? FIRST_MS : clip(now - computed, FIRST_MS, MOST_MS));
  if (stale) {
    stale = false;
    VIEW.start = startImage();
    VIEW.run = runOn(NET);
    VIEW.before = VIEW.run.steps ? null : forward(NET, VIEW.run.frames[0]);
    VIEW.others = NETWORKS.slice(1).map((net) => ({ net, run: null }));
  }
  const { run, others } = VIEW;
  while (!run.done && performance.now() < until) run.advance();
  for (const other of others) {
    if (!run.done || (iterates(STATE.method) && performance.now() > until)) break;
    other.run ??= runOn(other.net);
    while (!other.run.done && performance.now() < until) other.run.advance();
  }
  computed = performance.now();
  if (playing && run.done) {
    const length = run.frames.length - 1, share = (performance.now() - playing) / clip(length * 16, 1500, 8000);
    STATE.at = share >= 1 ? null : Math.floor(share * length);
    if (share >= 1) { playing = null; changed("at"); }
  }
  if (run.done || !calm.matches || !VIEW.trace) render();
  if (!run.done || others.some((other) => !other.run?.done) || playing) schedule();
}

function render() {
  const { run } = VIEW, last = run.frames.length - 1;
  VIEW.at = Math.min(STATE.at ?? (run.done ? run.best : last), last);
  VIEW.image = run.frames[VIEW.at];
  VIEW.trace = forward(NET, VIEW.image);
  const { image, trace } = VIEW, text = sentence(VIEW), ask = askedFor(STATE.target);
  put(byId("question"), `What is ${/^\d$/.test(ask) ? "a " : ""}${ask} to this network?`);
  showImage(byId("picture"), image);
  byId("picture").setAttribute("aria-label", text);
  put(byId("sentence"), text);
  later("spoken", 700, () => put(byId("spoken"), text));
  showControls();
  showLayers(VIEW);
  showAnswers(trace.outputs);
  showFacts(image, trace);
  showOthers();
  later("command", 150, () => put(byId("command"), command()));
  if (STATE.tour && TOUR[STATE.tour - 1]) put(byId("tour-text"), TOUR[STATE.tour - 1][2](VIEW));
}

// Left: what is asked.
function buildTarget() {
  CLASSES.forEach((name, k) => {
    const slider = element("input", { type: "range", id: `target-${k}`, min: 0, max: 1000, step: "any" });
    slider.addEventListener("input", () => { setOutput(k, fromSlider(+slider.value)); changed("ask"); });
    slider.setAttribute("aria-label", `wanted output of ${name}`);
    const only = element("button", { type: "button", textContent: name, title: `ask for ${name} alone` });
    only.addEventListener("click", () => setTarget(codeOf([k])));
    byId("target").append(element("li", {}, only, slider, element("output", { id: `wanted-${k}` })));
    for (const id of ["one", "two"]) byId(id).append(element("option", { value: k, textContent: name }));
  });
  byId("two").value = N - 1;
  byId("one").value = Math.min(4, N - 1);
  const both = () => setTarget(codeOf([...new Set([+byId("one").value, +byId("two").value])]));
  for (const id of ["one", "two"]) byId(id).addEventListener("change", both);
  byId("both").addEventListener("click", both);
  byId("none").addEventListener("click", () => setTarget(codeOf([])));
  byId("all").addEventListener("click", () => setTarget(codeOf(CLASSES.map((_, k) => k))));
}
function setTarget(target) { STATE.target = target; changed("ask"); }

function buildChoices() {
  const choose = (name, options, apply) => options.forEach(([kind, label, usable = true, title = ""]) => {
    const radio = element("input", { type: "radio", name, value: kind, id: `${name}-${kind}`, disabled: !usable });
    radio.addEventListener("change", () => { apply(kind); changed("ask"); });
    byId(name).append(element("label", { title, className: usable ? "" : "unusable" }, radio, element("span", { textContent: label })));
  });
  choose("method", METHODS, chooseMethod);
  choose("policy", POLICIES, (kind) => { STATE.policy = kind; });
  choose("start", STARTS.map(([kind, label]) => [kind, label, kind !== "mean" || !!PRIOR_OF_IMAGES]), (kind) => {
    if (kind === "noise") STATE.seed = (STATE.seed + 1) % 1e6;
    STATE.start = kind;
  });
}
function chooseMethod(kind) {
  STATE.method = kind;
  if (kind === "whitened" && STATE.start === "grey") STATE.start = "mean";
}

function showControls() {
  const { run } = VIEW, last = run.frames.length - 1;
  CLASSES.forEach((_, k) => {
    const slider = byId(`target-${k}`), value = STATE.target[k];
    if (fromSlider(+slider.value) !== value) slider.value = toSlider(value);
    slider.setAttribute("aria-valuetext", show(value));
    put(byId(`wanted-${k}`), BOUNDED && value > 0.99 ? value.toFixed(3) : show(value));
  });
  for (const name of ["method", "policy", "start"]) byId(`${name}-${STATE[name]}`).checked = true;
  byId("policy-field").hidden = STATE.method !== "pseudo_inverse";
  byId("start-field").hidden = byId("time").hidden = !iterates(STATE.method);
  put(byId("method-note"), METHODS.find(([kind]) => kind === STATE.method)[3]);
  const at = byId("at");
  at.max = last;
  at.value = VIEW.at;
  at.setAttribute("aria-valuetext", `step ${VIEW.at} of ${last}`);
  put(byId("step-note"), `step ${VIEW.at} of ${last}${run.done && VIEW.at === run.best ? " (returned)" : ""}`);
  put(byId("play"), playing ? "Pause" : "Play");
}

// Left: the canvas to draw on.
function setInk(bytes, example = -1) {
  undo = [...undo.slice(-50), [STATE.ink, STATE.example]];
  STATE.ink = bytes;
  STATE.example = example;
  inkChanged();
}
function inkChanged() {
  showBytes(byId("draw"), STATE.ink);
  if (iterates(STATE.method)) STATE.start = "drawing";
  put(byId("reading"), "");
  changed(iterates(STATE.method) ? "ask" : "ink");
}
function paint(row, column) {
  const ink = STATE.ink.slice(), size = Math.max(Math.min(HEIGHT, WIDTH) / 24, 0.6);
  for (let r = 0; r < HEIGHT; r++) for (let c = 0; c < WIDTH; c++) {
    const away = Math.hypot(r + 0.5 - row, c + 0.5 - column), strength = Math.round(255 * clip(1.6 * size - away + 0.5, 0, 1));
    for (let i = (r * WIDTH + c) * CHANNELS, to = i + CHANNELS; i < to; i++) ink[i] = Math.max(ink[i], strength);
  }
  STATE.ink = ink;
  STATE.example = -1;
  inkChanged();
}
function takeBack() {
  if (!undo.length) return;
  [STATE.ink, STATE.example] = undo.pop();
  inkChanged();
}
function readDrawing() {
  const { outputs } = forward(NET, fromBytes(STATE.ink)), order = CLASSES.map((_, k) => k).sort((j, k) => outputs[k] - outputs[j]);
  put(byId("reading"), `The network reads ${CLASSES[order[0]]} (${show(outputs[order[0]])}); next ${list(order.slice(1, 3).map((k) => `${CLASSES[k]} (${show(outputs[k])})`))}.`);
}

function buildDrawing() {
  const canvas = byId("draw");
  let from = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientY - box.top) / box.height) * HEIGHT, ((event.clientX - box.left) / box.width) * WIDTH];
  };
  const line = (one, two) => {
    const steps = Math.max(Math.ceil(Math.hypot(two[0] - one[0], two[1] - one[1]) / 0.7), 1);
    for (let k = 1; k <= steps; k++) paint(one[0] + ((two[0] - one[0]) * k) / steps, one[1] + ((two[1] - one[1]) * k) / steps);
  };
  const begin = () => { undo = [...undo.slice(-50), [STATE.ink, STATE.example]]; };
  canvas.addEventListener("pointerdown", (event) => {
    try { canvas.setPointerCapture(event.pointerId); } catch { /* made by a script */ }
    begin();
    from = place(event);
    line(from, from);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = place(event);
    line(from, to);
    from = to;
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(name, () => { from = null; });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) takeBack();
    else if (event.key === "Delete" || event.key === "Backspace") setInk(BLANK);
    else if (event.key === " " || event.key === "Enter") { begin(); paint(cursor[0] + 0.5, cursor[1] + 0.5); }
    else if (move) {
      cursor = [clip(cursor[0] + move[0], 0, HEIGHT - 1), clip(cursor[1] + move[1], 0, WIDTH - 1)];
      if (event.shiftKey) paint(cursor[0] + 0.5, cursor[1] + 0.5);
      put(byId("reading"), `row ${cursor[0] + 1}, column ${cursor[1] + 1}`);
    } else return;
    event.preventDefault();
  });
  byId("undo").addEventListener("click", takeBack);
  byId("clear").addEventListener("click", () => setInk(BLANK));
  byId("read").addEventListener("click", readDrawing);
  EXAMPLES.forEach(({ label, bytes }, k) => {
    const small = element("canvas"), button = element("button", { type: "button" }, small);
    button.setAttribute("aria-label", `load a real ${CLASSES[label]}`);
    button.addEventListener("click", () => setInk(bytes, k));
    showBytes(small, bytes);
    byId("examples").append(button);
  });
  byId("examples-field").hidden = !EXAMPLES.length;
}

// Right: what the network makes of the picture.
function buildAnswers() {
  byId("answers").style.setProperty("--names", `${Math.min(Math.max(...CLASSES.map((name) => name.length)), 9) + 1}ch`);
  CLASSES.forEach((name, k) => byId("answers").append(element("li", { id: `answer-${k}` },
    element("span", { textContent: name }), element("i", {}, element("b"), element("u")), element("output"))));
}
function showAnswers(outputs) {
  const all = [...outputs, ...STATE.target, 0], low = Math.min(...all), span = Math.max(...all, low + 1e-9, BOUNDED ? 1 : 0) - low;
  const order = CLASSES.map((_, k) => k).sort((j, k) => Math.max(outputs[k], STATE.target[k]) - Math.max(outputs[j], STATE.target[j]));
  const shown = new Set(order.slice(0, 20));
  CLASSES.forEach((_, k) => {
    const row = byId(`answer-${k}`), [bar, mark] = row.children[1].children;
    row.hidden = !shown.has(k);
    bar.style.width = `${(100 * (outputs[k] - low)) / span}%`;
    mark.style.left = `${(100 * (STATE.target[k] - low)) / span}%`;
    put(row.children[2], BOUNDED && Math.abs(outputs[k]) < 0.0005 ? "0.000" : show(outputs[k]));
  });
}
function showFacts(image, trace) {
  const outside = outOfRange(image), error = largestGap(trace.outputs, STATE.target), near = nearestImage(image);
  put(byId("error"), show(error));
  put(byId("range"), outside ? `${outside} of ${PIXELS} pixels are not` : "yes, every pixel");
  byId("near-field").hidden = !near;
  if (near) {
    showImage(byId("near"), near.image);
    put(byId("near-note"), `a ${CLASSES[near.label]}, at distance ${show(near.distance)}`);
    byId("near").setAttribute("aria-label", `nearest of ${IMAGES.length} training images: a ${CLASSES[near.label]}`);
  }
}
function buildOthers() {
  NETWORKS.forEach(({ name }, k) => byId("others").append(element("figure", {},
    element("canvas", { id: `other-${k}` }), element("figcaption", {}, element("b", { textContent: name }), element("span", { id: `other-note-${k}` })))));
  byId("others-field").hidden = NETWORKS.length < 2;
}
function showOthers() {
  const k = argmax(STATE.target);
  [{ net: NET, run: VIEW.run, image: VIEW.image, outputs: VIEW.trace.outputs }, ...VIEW.others].forEach(({ net, run, image, outputs }, n) => {
    const canvas = byId(`other-${n}`), shown = image ?? run?.frames[run.done ? run.best : run.frames.length - 1];
    if (shown) showImage(canvas, shown);
    const answer = outputs ?? (shown && forward(net, shown).outputs), like = shown && IMAGES.length ? closestMean(shown) : null;
    const text = !answer ? "waits" : ` answers ${CLASSES[k]}: ${show(answer[k])}${like ? `; most like the mean ${CLASSES[like.best]}: ${show(like.likeness)}` : ""}`;
    put(byId(`other-note-${n}`), text);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${net.name}: ${text}`);
  });
}

// Time and tour.
function buildTime() {
  byId("at").addEventListener("input", (event) => { playing = null; STATE.at = +event.target.value; changed("at"); });
  byId("play").addEventListener("click", () => { playing = playing ? null : performance.now(); changed("at"); });
  const step = (by) => () => { playing = null; STATE.at = clip(VIEW.at + by, 0, VIEW.run.frames.length - 1); changed("at"); };
  byId("back").addEventListener("click", step(-1));
  byId("on").addEventListener("click", step(1));
}
function goTo(step) {
  STATE.tour = clip(step, 0, TOUR.length);
  if (STATE.tour) {
    const [, wish] = TOUR[STATE.tour - 1];
    Object.assign(STATE, { target: codeOf([0]), unit: null, ...wish });
    if (wish.unit) STATE.unit = loudest(0);
  }
  showTour();
  changed("ask");
}
function showTour() {
  byId("tour").hidden = !STATE.tour;
  if (!STATE.tour) return;
  put(byId("tour-title"), `${STATE.tour} of ${TOUR.length}. ${TOUR[STATE.tour - 1][0]}`);
  byId("tour-back").disabled = STATE.tour === 1;
  put(byId("tour-on"), STATE.tour === TOUR.length ? "Finish" : "Next");
}
function buildTour() {
  byId("tour-open").addEventListener("click", () => { goTo(1); byId("tour-title").focus(); });
  byId("tour-back").addEventListener("click", () => goTo(STATE.tour - 1));
  byId("tour-on").addEventListener("click", () => goTo(STATE.tour === TOUR.length ? 0 : STATE.tour + 1));
  byId("tour-close").addEventListener("click", () => { goTo(0); byId("tour-open").focus(); });
}

async function copy(text, button) {
  const label = button.dataset.label ??= button.textContent;
  try { await navigator.clipboard.writeText(text); put(button, "Copied"); } catch { put(button, "Select it by hand"); }
  later(button.id, 2000, () => put(button, label));
}

function arrive() {
  fromFragment(location.hash);
  showBytes(byId("draw"), STATE.ink);
  STATE.tour = Math.min(STATE.tour, TOUR.length);
  stale = true;
  showTour();
  schedule();
}

for (const build of [buildTarget, buildChoices, buildDrawing, buildLayers, buildAnswers, buildOthers, buildTime, buildTour]) build(changed);
put(byId("notes"), GIVEN.notes);
byId("copy").addEventListener("click", () => copy(command(), byId("copy")));
byId("link").addEventListener("click", () => copy(location.href.split("#")[0] + toFragment(), byId("link")));
addEventListener("hashchange", arrive);
addEventListener("resize", () => { SIZES.clear(); schedule(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { COLOURS = colours(); schedule(); });
document.documentElement.classList.add("ready");
arrive();
// For the console and for tests.
globalThis.jaxbqPlay = { STATE, VIEW, NETWORKS, GIVEN, PRIOR_OF_IMAGES, forward, wayBack, runOn, startImage, toFragment, fromFragment, changed, arithmetic, switchedOff, levelOf };
