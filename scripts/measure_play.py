"""Measure the page of `jaxbq play` in headless Chromium: sliders, and steps of ascents.

    python scripts/measure_play.py PAGE.html

A slider's work is what a frame does after a move: the way back, the way forward, all layers, the
nearest training image and the controls. Ascents are timed while every frame is drawn. Says the
median and the 95th percentile of 300 moves, and steps a second. JAXBQ_CHROMIUM names a browser.
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

SLIDER = """async ([method, policy]) => {
  const { STATE, changed } = jaxbqPlay, slider = document.getElementById("target-0"), found = [];
  Object.assign(STATE, { method, policy });
  changed("ask");
  for (let k = 0; k < 320; k++) {
    slider.value = 100 + 800 * ((k * 0.618) % 1);
    await new Promise((go) => {
      let before = 0;
      const moved = performance.now();
      requestAnimationFrame(() => { before = performance.now(); });
      slider.dispatchEvent(new Event("input"));
      requestAnimationFrame(() => {
        const now = performance.now();
        found.push([now - before, now - moved]);
        go();
      });
    });
  }
  return found.slice(20);
}"""
ASCENT = """async ([method, start]) => {
  const { STATE, VIEW, changed } = jaxbqPlay;
  const target = STATE.target.map((_, k) => (k === 3 ? 0.99 : 0.01));
  Object.assign(STATE, { method, start, target });
  changed("ask");
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  await frame();
  const begun = performance.now(), from = VIEW.run.frames.length;
  let drawn = 0;
  while (!VIEW.run.done) { await frame(); drawn += 1; }
  const seconds = (performance.now() - begun) / 1000;
  return [VIEW.run.frames.length - from, seconds, drawn];
}"""


def main(file: Path) -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = os.environ.get("JAXBQ_CHROMIUM") or next(filter(None, map(shutil.which, names)))
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = started.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(file.resolve().as_uri())
        tab.wait_for_timeout(1000)
        for method, policy in (("transpose", "clip"), ("pseudo_inverse", "clip")):
            found = np.array(tab.evaluate(SLIDER, [method, policy]))
            work, whole = np.percentile(found, [50, 95], axis=0).T
            print(
                f"slider, {method}: work {work[0]:.1f} ms, 95th percentile {work[1]:.1f}; "
                f"from event to frame {whole[0]:.1f} ms, {whole[1]:.1f}"
            )
        for method, start in (("ascent", "noise"), ("whitened", "mean")):
            steps, seconds, drawn = tab.evaluate(ASCENT, [method, start])
            print(f"{method}: {steps / seconds:.0f} steps a second, {drawn} frames drawn")
        started.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
