"""The page in a real browser: what is clicked, sorted, typed and printed."""

import functools
import re

import pytest
from test_page import HOSTILE, make_run, score_table

from jaxbq.experiment.finished import Run
from jaxbq.report.page import write_page

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = make_run(tmp_path_factory.mktemp("page") / "run")
    write_page(Run(made.path))
    return made


@pytest.fixture
def visit(visit_file, folder):
    return functools.partial(visit_file, folder.path / "report" / "index.html")


def test_a_heading_sorts_by_numbers_both_ways(visit):
    page = visit()
    head = page.locator("table[data-sortable] th", has_text="Seconds")
    column = (
        page.locator("table[data-sortable] thead th").all_inner_texts().index(head.inner_text())
    )

    def values():
        return page.eval_on_selector_all(
            "table[data-sortable] tbody tr",
            "(rows, k) => rows.map((row) => row.cells[k].dataset.value)",
            column,
        )

    # Numbers whose order as text is another, and one that is not known.
    page.eval_on_selector_all(
        "table[data-sortable] tbody tr",
        "(rows, k) => rows.forEach((r, n) => { r.cells[k].dataset.value = ['9', '10', ''][n]; })",
        column,
    )
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"  # of a cost, the least is best
    assert values() == ["9", "10", ""]
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert values() == ["10", "9", ""]
    page.locator("table[data-sortable] th", has_text="Fidelity").get_by_role("button").click()
    assert page.locator("[aria-sort]").count() == 1
    numbers = page.eval_on_selector_all(
        "table[data-sortable] tbody tr", "(rows) => rows.map((row) => +row.cells[2].dataset.value)"
    )
    assert numbers == sorted(numbers, reverse=True)


def test_an_image_opens_large_with_its_numbers(visit, folder):
    page = visit()
    image = page.locator("#picture .p").nth(4)
    image.click()
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    title = page.locator("#large-title").inner_text()
    assert title == f"{HOSTILE}, asked for <b>one</b> · network 0 · best sample"
    row = next(
        r
        for r in score_table(folder)
        if (r["network"], r["method"], r["target"], r["sample"]) == ("0", HOSTILE, "1", "0")
    )
    lines = dict(
        page.eval_on_selector_all(
            "dialog .numbers dl > div",
            "(all) => all.map((d) => [d.children[0].title.split(' ')[1], d.children[1].innerText])",
        )
    )
    for name in ("fidelity", "readability", "ssim_percentile", "transfer"):
        assert float(lines[name]) == pytest.approx(float(row[name]), rel=1e-3)
    assert lines["reason"] == "max iterations"
    assert page.locator("dialog .answers tr").count() == 3
    # The picture is that of the grid, larger.
    assert page.locator("dialog .large .p").evaluate("(i) => i.naturalWidth") == 5
    assert page.locator("dialog .large .p").bounding_box()["width"] > 200
    page.keyboard.press("ArrowRight")
    assert 'asked for a"b&c' in page.locator("#large-title").inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    # Back at the image that was seen last.
    assert page.locator("#picture .p").nth(5).evaluate("(i) => i === document.activeElement")


def test_images_are_reached_by_keys(visit):
    page = visit()
    images = page.locator("#picture .p")
    assert images.evaluate_all("(all) => all.filter((i) => i.tabIndex === 0).length") == 1
    images.first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "End", "ArrowUp"):
        page.keyboard.press(key)
    assert images.nth(5).evaluate("(i) => i === document.activeElement")
    page.keyboard.press("Enter")
    assert page.locator("dialog").is_visible()
    page.get_by_role("button", name="Close", exact=True).click()
    assert images.nth(5).evaluate("(i) => i === document.activeElement")
    # A training image has no scores, and is shown all the same.
    page.locator("#class-0 summary").click()
    page.locator("#class-0 .near .p").first.click()
    assert page.locator("#large-title").inner_text().startswith("nearest training image, number 40")
    assert page.locator("dialog .numbers").inner_text() == ""


def test_the_chart_names_a_method_and_leads_to_it(visit):
    page = visit()
    mark = page.locator(".plane.wide .mark").first
    assert not page.locator(".plane.narrow").is_visible()
    mark.hover()
    tip = page.locator(".tip")
    assert tip.is_visible()
    assert tip.inner_text().startswith("1. transpose: fidelity 0.")
    assert page.locator(".legend tr.on").inner_text().split()[:2] == ["1", "transpose"]
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    section = page.locator("#method-1")
    assert not section.evaluate("(d) => d.open")
    mark.focus()
    assert tip.is_visible()
    page.keyboard.press("Enter")
    playwright.expect(section).to_have_attribute("open", "")
    assert section.locator("table").first.is_visible()


def test_the_way_of_images_is_walked(visit):
    page = visit()
    page.locator("#method-2 > summary").click()
    player = page.locator("#method-2 .player")
    before = player.locator(".p").first.get_attribute("class")
    player.locator("input").press("End")
    assert "step 8" in player.inner_text()
    assert player.locator(".p").first.get_attribute("class") != before
    player.locator("input").press("Home")
    assert "step 0" in player.inner_text()
    player.get_by_role("button", name="Play").click()
    playwright.expect(player).to_contain_text("step 8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_scrolling_aside(visit, tmp_path, scheme):
    page = visit(
        viewport={"width": 320, "height": 640}, is_mobile=True, has_touch=True, color_scheme=scheme
    )
    # Long names of a user's included, in all sections.
    page.get_by_role("button", name="Open all").first.click()
    page.get_by_role("button", name="Open all").last.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    assert page.locator(".plane.narrow").is_visible()
    for name in page.locator(".facts-list dt").all():
        text = name.evaluate("e => e.textContent.trim().split(' ').length")
        shown = name.evaluate(
            "e => {const r = document.createRange(); r.selectNodeContents(e);"
            " return new Set([...r.getClientRects()].map(one => one.top)).size}"
        )
        assert shown <= text, f"a word is cut: {name.inner_text()}"
    # All targets of a method stand beside and below each other.
    boxes = [
        shot.bounding_box() for shot in page.locator("#picture tbody tr").first.locator(".p").all()
    ]
    assert all(0 <= box["x"] <= box["x"] + box["width"] <= 320 for box in boxes)
    page.locator("#picture .p").first.tap()
    assert page.locator("dialog").is_visible()
    assert page.locator("dialog").bounding_box()["width"] <= 320
    page.screenshot(path=tmp_path / f"phone-{scheme}.png")


def test_print_is_short_and_opens_all_sections_on_request(visit, tmp_path):
    page = visit()
    page.locator("#method-1 > summary").click()
    closed = page.locator("details:not([open])")
    number = closed.count()
    assert number > 5
    page.emulate_media(media="print")
    assert page.locator("#picture .p").first.is_visible()
    assert not page.locator("#methods").is_visible()
    playwright.expect(closed).to_have_count(number)
    path = tmp_path / "page.pdf"
    page.pdf(path=path)
    assert 1 <= pages_of(path) <= 6
    short = pages_of(path)
    page.emulate_media(media="screen")
    page.evaluate("window.print = () => {}")
    page.get_by_role("button", name="Print everything").click()
    page.emulate_media(media="print")
    playwright.expect(closed).to_have_count(0)
    assert page.locator("#class-2 .card").first.is_visible()
    assert not page.locator("nav").is_visible()
    page.emulate_media(media="screen")
    playwright.expect(closed).to_have_count(number)
    assert page.locator("#method-1").evaluate("(d) => d.open")
    page.pdf(path=path)
    assert pages_of(path) > short


def pages_of(path):
    return len(re.findall(rb"/Type\s*/Page\b", path.read_bytes()))


def test_without_scripts_everything_is_there(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("#picture .p").first.is_visible()
    assert not page.get_by_text("Choose a heading").is_visible()
    assert page.locator("table[data-sortable] button").count() == 0
    page.locator("#method-2 > summary").click()
    assert page.locator("#method-2 table").first.is_visible()
    assert not page.locator("dialog").is_visible()
    page.emulate_media(media="print")
    assert page.locator("#picture .p").first.is_visible()
    assert not page.locator("#class-2 .card").first.is_visible()
