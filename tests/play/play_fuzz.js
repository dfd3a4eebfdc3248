// Random deeds on the page; returns what went wrong. Arguments: a seed, and how many deeds.
async ([seed, number]) => {
  let s = seed;
  const random = (n) => {
    s = (Math.imul(s, 1103515245) + 12345) >>> 0;
    return Math.floor((s / 2 ** 32) * n);
  };
  const wrong = [], keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "Delete", " ", "PageUp"];
  addEventListener("error", (event) => wrong.push(String(event.message)));
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  const point = (it) => {
    const box = it.getBoundingClientRect();
    const clientX = box.left + random(box.width), clientY = box.top + random(box.height);
    return { bubbles: true, pointerId: 1, clientX, clientY };
  };
  const deed = (it) => {
    if (it.tagName === "BUTTON") return it.click();
    if (it.type === "range") it.value = +it.min + (random(1001) / 1000) * (it.max - it.min);
    if (it.type === "range") return it.dispatchEvent(new Event("input"));
    if (it.type === "radio") it.checked = true;
    if (it.tagName === "SELECT") it.selectedIndex = random(it.length);
    if (it.tagName !== "CANVAS") return it.dispatchEvent(new Event("change"));
    if (random(2)) return it.dispatchEvent(new KeyboardEvent("keydown", { key: keys[random(keys.length)], shiftKey: !!random(2) }));
    for (const kind of ["pointerdown", "pointermove", "pointermove", "pointerup"]) it.dispatchEvent(new PointerEvent(kind, point(it)));
  };
  for (let k = 0; k < number; k++) {
    const all = [...document.querySelectorAll("button, input, select, canvas[tabindex]")];
    const usable = all.filter((each) => each.offsetParent && !each.disabled);
    deed(usable[random(usable.length)]);
    if (k % 97 === 0) location.hash = jaxbqPlay.toFragment().replace("m=", random(2) ? "m=" : "q=");
    if (k % 3) continue;
    await frame();
    const { VIEW, STATE } = jaxbqPlay;
    const sound = VIEW.image.every(Number.isFinite) && STATE.target.every(Number.isFinite);
    if (!sound || /NaN|undefined|Infinity/.test(document.body.innerText)) wrong.push(`${k}: ${jaxbqPlay.toFragment()}`);
  }
  return wrong;
}
