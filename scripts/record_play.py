"""Record the moving picture of README.md from the real page of `jaxbq play`.

    jaxbq play --html play.html --no-open
    python scripts/record_play.py play.html [docs/images/play.webp]

Loads a real 4, asks for a 9, plays the way to the exact preimage, then looks at a unit and at the
whitened ascent: about ten seconds. JAXBQ_CHROMIUM names a browser.
"""

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

TARGET = Path(__file__).parents[1] / "docs" / "images" / "play.webp"
SIZE = {"width": 1200, "height": 760}
WIDTH = 900
Frames = list[tuple[Image.Image, int]]


def shoot(tab: Page, frames: Frames, milliseconds: int) -> None:
    picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    height = round(picture.height * WIDTH / picture.width)
    frames.append((picture.resize((WIDTH, height), Image.Resampling.LANCZOS), milliseconds))


def press(what: Locator) -> None:
    """Click without scrolling there."""
    what.evaluate("(each) => each.click()")


def slide(tab: Page, which: str, value: float) -> None:
    tab.locator(which).evaluate(
        "(s, v) => { s.value = v; s.dispatchEvent(new Event('input')); }", value
    )


def settle(tab: Page) -> None:
    for _ in range(400):
        tab.wait_for_timeout(50)
        if tab.evaluate("jaxbqPlay.VIEW.run.done && jaxbqPlay.VIEW.others.every(o => o.run?.done)"):
            return


def record(tab: Page) -> Frames:
    frames: Frames = []
    settle(tab)
    shoot(tab, frames, 1200)
    press(tab.get_by_role("button", name="load a real 4").nth(1))
    press(tab.locator("label", has_text="Exact preimage"))
    press(tab.locator("label", has_text="my drawing"))
    press(tab.get_by_role("button", name="4", exact=True))
    settle(tab)
    shoot(tab, frames, 1000)
    # The slider of 9 goes up, that of 4 down, and the network follows.
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        for digit, value in ((4, 834 - 668 * share), (9, 166 + 668 * share)):
            slide(tab, f"#target-{digit}", value)
        settle(tab)
        shoot(tab, frames, 350)
    last = int(tab.locator("#at").get_attribute("max") or 0)
    for step in range(last + 1):
        slide(tab, "#at", step)
        tab.wait_for_timeout(80)
        shoot(tab, frames, 300 if step < last else 2200)
    press(tab.locator("label", has_text="Whitened ascent"))
    press(tab.locator("label", has_text="mean image"))
    settle(tab)
    length = int(tab.locator("#at").get_attribute("max") or 0)
    for step in (0, 5, 10, 20, 40, 80, length):
        slide(tab, "#at", step)
        tab.wait_for_timeout(80)
        shoot(tab, frames, 200 if step < length else 2000)
    return frames


def main(page: Path, target: Path) -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = os.environ.get("JAXBQ_CHROMIUM") or next(filter(None, map(shutil.which, names)))
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = started.new_page(viewport=SIZE)
        tab.goto(page.resolve().as_uri())
        tab.wait_for_timeout(500)
        frames = record(tab)
        started.close()
    first, *rest = [picture for picture, _ in frames]
    durations = [milliseconds for _, milliseconds in frames]
    first.save(
        target, save_all=True, append_images=rest, duration=durations, loop=0, quality=70, method=6
    )
    print(f"{target}: {target.stat().st_size:,} bytes, {sum(durations) / 1000:.1f} s")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else TARGET)
