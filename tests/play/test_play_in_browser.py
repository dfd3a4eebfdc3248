"""The page to play with in a real browser: its numbers against JAX's, and what one does there."""

import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbq.data import Digits, ImageSpace, Reference
from jaxbq.methods import Ascent, Preimage, PseudoInverse, Reason, Transpose, invert, preset
from jaxbq.methods.analytic import way_back
from jaxbq.network.activations import activation
from jaxbq.network.files import NetworkFile
from jaxbq.network.mlp import MLP, Layer
from jaxbq.play import make_page, page
from jaxbq.training import Training, train

pytestmark = pytest.mark.slow
STEPS = 20


class Mixed(MLP):
    """An activation of its own for every hidden layer."""

    @property
    def activations(self):
        names = ("tanh", "softplus", "sigmoid", self.output)
        return tuple(map(activation, names))


@pytest.fixture(scope="module", autouse=True)
def _quick_controls():
    """Random weights alone: the other control is trained for seconds."""
    kept = page.controls
    page.controls = lambda network, data: (
        {"random weights": network.model.init(jax.random.key(1))},
        "",
    )
    yield
    page.controls = kept


def random_layers(model, seed):
    rng = np.random.default_rng(seed)
    return tuple(
        Layer(
            jnp.asarray(rng.normal(size=(n, m)) * 1.5 / n**0.5, jnp.float32),
            jnp.asarray(rng.normal(size=m) * 0.3, jnp.float32),
        )
        for n, m in model.shapes
    )


@pytest.fixture(scope="module")
def networks(standard, mnist_10k):
    """Three networks by name, each with its data or None."""
    digits = Digits().load()
    small = MLP((64, 30, 10), hidden="tanh", output="softmax")
    learnt = train(small, digits, Training(loss="cross_entropy", epochs=5)).params
    mixed = Mixed((80, 40, 50, 20, 5))
    names = tuple("abcde")
    return {
        "standard": (NetworkFile(*standard, mnist_10k.space, mnist_10k.class_names), mnist_10k),
        "mixed": (
            NetworkFile(mixed, random_layers(mixed, 3), ImageSpace((10, 8), -1.0, 1.0), names),
            None,
        ),
        "digits": (NetworkFile(small, learnt, digits.space, digits.class_names), digits),
    }


@pytest.fixture(scope="module")
def files(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("play")
    for name, (network, data) in networks.items():
        (folder / f"{name}.html").write_text(make_page(network, data, title=name).text)
    return folder


@pytest.fixture
def visit(visit_file, files):
    def open_page(name="standard", fragment="", **options):
        return visit_file(files / f"{name}.html", fragment, **options)

    return open_page


def random_targets(model, number, seed=5):
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(0.02, 0.98, (number, model.sizes[-1]))
    return drawn / drawn.sum(axis=1, keepdims=True) if model.output == "softmax" else drawn


def random_starts(space, number, seed=6, inside=0):
    """Images that bytes can hold, so far inside the range."""
    drawn = np.random.default_rng(seed).integers(inside, 256 - inside, (number, space.pixels))
    return drawn, space.low + (space.high - space.low) * drawn / 255


def near(found, expected, tolerance):
    """Compare vectors, relative to the largest number of each."""
    found, expected = np.asarray(found), np.asarray(expected)
    scale = np.abs(expected).max(axis=-1, keepdims=True)
    worst = (np.abs(found - expected) / np.maximum(scale, 1e-3)).max()
    assert worst <= tolerance, f"{worst:.2e}"


CLOSED = """([method, policy, targets]) => targets.map((target) => {
  const { STATE, NETWORKS, runOn, forward } = jaxbqPlay;
  Object.assign(STATE, { method, policy, target });
  const run = runOn(NETWORKS[0]), trace = forward(NETWORKS[0], run.frames[0]);
  const plain = (all) => all.map((each) => Array.from(each));
  return { raw: plain(run.steps.map((s) => s.raw)), a: plain(run.steps.map((s) => s.a)),
    z: plain(run.steps.map((s) => s.z)), wanted: plain(run.steps.map((s) => s.wanted)),
    forward_z: plain(trace.z), forward_a: plain(trace.a) };
})"""


@pytest.mark.parametrize("name", ["standard", "mixed", "digits"])
@pytest.mark.parametrize("kind", ["transpose", "clip", "rescale", "none"])
def test_closed_forms_give_every_number_of_jax(visit, networks, name, kind):
    network, _ = networks[name]
    model, params = network.model, network.params
    targets = random_targets(model, 20)
    hidden = "clip" if kind == "none" else kind
    method = (
        Transpose()
        if kind == "transpose"
        else PseudoInverse(pixel_policy=kind, hidden_policy=hidden)
    )
    state = method.prepare(model, params, Reference(network.space), jax.random.key(0))
    steps = way_back(method, model, params, state, jnp.asarray(targets, jnp.float32))
    trace = model.trace(params, steps[0].settled.a)
    policy = "clip" if kind == "transpose" else kind
    method_name = "transpose" if kind == "transpose" else "pseudo_inverse"
    found = visit(name).evaluate(CLOSED, [method_name, policy, targets.tolist()])
    for level, step in enumerate(steps):
        asked = {"wanted": step.wanted, "z": step.z, "raw": step.raw, "a": step.settled.a}
        for field, numbers in asked.items():
            near([one[field][level] for one in found], numbers, 1e-5)
    for level, (z, a) in enumerate(zip(trace.pre_activations, trace.activations[1:], strict=True)):
        near([one["forward_z"][level] for one in found], z, 1e-5)
        near([one["forward_a"][level + 1] for one in found], a, 1e-5)


ITERATED = """([method, targets, starts, most]) => targets.map((target) => starts.map((ink) => {
  const { STATE, NETWORKS, runOn, forward } = jaxbqPlay;
  Object.assign(STATE, { method, target, start: "drawing", ink: Uint8Array.from(ink) });
  const run = runOn(NETWORKS[0]);
  while (!run.done && run.frames.length <= most) run.advance();
  return { frames: run.frames.slice(0, 21).map((frame) => Array.from(frame)),
    reason: run.reason, number: run.frames.length - 1, residual: run.residuals?.at(-1),
    outputs: Array.from(forward(NETWORKS[0], run.frames[run.best]).outputs) };
}))"""
ALL = 1000


def run_iterated(tab, network, data, method, kind, targets, starts, most):
    """Answers of the page and of JAX from every start to every target, in pairs."""
    inks, images = starts
    reference = Reference(network.space, None if data is None else data.train_images, starts=images)
    result = invert(method, network.model, network.params, targets, reference=reference)
    found = tab.evaluate(ITERATED, [kind, targets.tolist(), inks.tolist(), most])
    order = result.diagnostics["start" if kind == "preimage" else "restart"]
    return [(found[t][order[t, s]], result, t, s) for t, s in np.ndindex(*order.shape)]


def wanted(network, number):
    """Targets that pictures reach: what the network answers to some."""
    images = random_starts(network.space, number, seed=8, inside=100)[1]
    return np.asarray(network.model.apply(network.params, images.astype(np.float32)), float)


def doubled(network):
    """The same weights in float64, while x64 is enabled."""
    params = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), "float64"), network.params)
    return dataclasses.replace(network, params=params)


@pytest.mark.parametrize("name", ["standard", "mixed", "digits"])
@pytest.mark.parametrize("kind", ["ascent", "whitened"])
def test_ascents_go_step_for_step_and_end_alike(visit, networks, name, kind):
    network, data = networks[name]
    if kind == "whitened" and data is None:
        pytest.skip("no training images")
    targets = random_targets(network.model, 5)
    # A whitened pixel at an end is inside or outside by rounding, and Adam makes much of it.
    starts = random_starts(network.space, 4, inside=1)
    options = {"start": "images", "restarts": 4, "path": tuple(range(STEPS + 1))}
    method = Ascent(**options) if kind == "ascent" else preset("whitened", **options)
    # The page sums in doubles; JAX's float32 parts from its own float64 by 1e-4 in twenty steps.
    with jax.enable_x64(True):
        pairs = run_iterated(
            visit(name), doubled(network), data, method, kind, targets, starts, ALL
        )
    missed = []
    for found, result, t, s in pairs:
        path = result.diagnostics["path"][t, s]
        near(found["frames"], path[: len(found["frames"])], 1e-4)
        ends = found["outputs"], result.outputs[t, s]
        missed.append([np.abs(outputs - targets[t]).max() for outputs in ends])
    # Hundreds of steps later rounding has parted the ways. None of the page's ends is farther than
    # that; some are nearer, and on average they are as near.
    ours, theirs = np.transpose(missed)
    assert (ours <= 1.1 * theirs + 5e-3).all()
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.02, abs=2e-3)


@pytest.mark.parametrize("name", ["standard", "mixed", "digits"])
def test_preimages_go_step_for_step_and_end_alike(visit, networks, name):
    network, data = networks[name]
    starts, tab = random_starts(network.space, 4), visit(name)
    targets = random_targets(network.model, 5)

    def steps(network, method, limit, tolerance=1e-4):
        method = dataclasses.replace(method, max_iterations=limit)
        for found, result, t, s in run_iterated(
            tab, network, data, method, "preimage", targets, starts, limit
        ):
            if found["number"] >= limit:
                near(found["frames"][limit], result.images[t, s], tolerance)

    # JAX's own rounding is 1e-4 after a step of float32; its float64 is told to be no finer.
    steps(network, Preimage(start="images"), 1, 3e-4)
    with jax.enable_x64(True):
        coarse = Preimage(start="images", damping=50 * 2.0**-23, tolerance=1e-4)
        for limit in (1, 3):
            steps(doubled(network), coarse, limit)
    # What the network answers to an image is within reach of another, and reached as soon.
    reachable, starts = wanted(network, 5), random_starts(network.space, 4, inside=100)
    pairs = run_iterated(
        tab, network, data, Preimage(start="images"), "preimage", reachable, starts, ALL
    )
    alike = [f["reason"] == Reason(r.reasons[t, s]).name.lower() for f, r, t, s in pairs]
    assert np.mean(alike) >= 0.9
    both = [(f, r, t, s) for (f, r, t, s), same in zip(pairs, alike, strict=True) if same]
    for found, result, t, s in both:
        if found["reason"] == "reached":
            assert found["number"] <= 2 * result.iterations[t, s] + 2
            near(found["outputs"], reachable[t], 1e-3)
    assert any(found["reason"] == "reached" for found, *_ in pairs)


def test_what_no_picture_answers_ends_as_near_as_jax_ends(visit, networks):
    network, data = networks["digits"]
    targets, starts = random_targets(network.model, 4, seed=9), random_starts(network.space, 1)
    for found, result, t, s in run_iterated(
        visit("digits"), network, data, Preimage(start="images"), "preimage", targets, starts, ALL
    ):
        expected = result.diagnostics["residual"][t, s]
        assert found["residual"] == pytest.approx(expected, rel=0.05, abs=1e-4)


# What one does on the page.


def until(tab, condition):
    """Wait for a condition; the page's own policy forbids to have it watched there."""
    for _ in range(1200):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(condition)


def settled(tab):
    """Wait until the run and its controls are done and the address has followed."""
    tab.wait_for_timeout(50)
    until(tab, "jaxbqPlay.VIEW.run?.done && jaxbqPlay.VIEW.others.every((o) => o.run?.done)")
    tab.wait_for_timeout(400)


def state(tab):
    return tab.evaluate("({...jaxbqPlay.STATE, ink: Array.from(jaxbqPlay.STATE.ink)})")


def test_a_slider_is_typed_and_dragged(visit):
    tab = visit()
    settled(tab)
    first = tab.inner_text("#sentence")
    assert tab.inner_text("#question") == "What is a 0 to this network?"
    tab.locator("#target-9").focus()
    tab.keyboard.press("End")
    settled(tab)
    assert state(tab)["target"][9] == pytest.approx(0.999)
    assert "and" in tab.inner_text("#question")
    box = tab.locator("#target-0").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2, steps=5)
    tab.mouse.up()
    settled(tab)
    assert state(tab)["target"][0] < 0.01
    assert tab.inner_text("#question") == "What is a 9 to this network?"
    assert tab.inner_text("#sentence") != first


def test_presets_ask_for_classes(visit):
    tab = visit()
    tab.get_by_role("button", name="7", exact=True).click()
    assert state(tab)["target"][7] == 0.99
    tab.locator("#one").select_option("3")
    target = state(tab)["target"]
    assert [k for k, value in enumerate(target) if value > 0.5] == [3, 9]
    tab.locator("#none").click()
    settled(tab)
    assert max(state(tab)["target"]) == 0.01
    assert "none of them" in tab.inner_text("#question")
    tab.locator("#all").click()
    assert min(state(tab)["target"]) == 0.99


def test_a_drawing_is_read_taken_back_and_started_from(visit):
    tab = visit()
    tab.get_by_text("Exact preimage").click()
    box = tab.locator("#draw").bounding_box()
    side = box["width"]

    def stroke(*points):
        x, y = points[0]
        tab.mouse.move(box["x"] + x * side, box["y"] + y * side)
        tab.mouse.down()
        for x, y in points[1:]:
            tab.mouse.move(box["x"] + x * side, box["y"] + y * side, steps=6)
        tab.mouse.up()

    stroke((0.35, 0.2), (0.3, 0.5), (0.65, 0.5))
    one = sum(state(tab)["ink"])
    stroke((0.65, 0.2), (0.62, 0.85))
    assert sum(state(tab)["ink"]) > one > 0
    tab.locator("#undo").click()
    assert sum(state(tab)["ink"]) == one
    stroke((0.65, 0.2), (0.62, 0.85))
    tab.locator("#read").click()
    assert tab.inner_text("#reading").startswith("The network reads 4 (")
    tab.get_by_role("button", name="9", exact=True).click()
    settled(tab)
    assert state(tab)["start"] == "drawing"
    said = tab.inner_text("#sentence")
    assert "your drawing, which the network reads as 4" in said
    assert "yet the network answers 9 with 0.99, as asked: it is one of infinitely many" in said
    tab.locator("#draw").focus()
    tab.keyboard.press("Delete")
    assert sum(state(tab)["ink"]) == 0
    tab.keyboard.press("Control+z")
    assert sum(state(tab)["ink"]) > 0
    tab.keyboard.press("Delete")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Space")
    assert sum(state(tab)["ink"]) > 0


def test_touch_draws(visit):
    tab = visit(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    tab.locator("#draw").tap()
    settled(tab)
    assert sum(state(tab)["ink"]) > 0


def test_the_address_holds_the_whole_state(visit):
    tab = visit()
    tab.get_by_text("Exact preimage").click()
    tab.get_by_role("button", name="load a real 4").first.click()
    tab.get_by_role("button", name="9", exact=True).click()
    tab.locator("#bars-1").click(position={"x": 100, "y": 40})
    settled(tab)
    tab.locator("#at").press("Home")
    tab.keyboard.press("ArrowRight")
    settled(tab)
    until(tab, "location.hash === jaxbqPlay.toFragment()")
    before, said = state(tab), tab.inner_text("#sentence")
    assert before["at"] == 1
    again = visit(fragment="#" + tab.url.split("#")[1])
    settled(again)
    assert state(again) == before
    assert again.inner_text("#sentence") == said
    tab.reload()
    settled(tab)
    assert state(tab) == before


@pytest.mark.parametrize(
    "fragment",
    [
        "#m=nothing&t=1,2&s=x&e=999999&u=9.9.9&at=-3&tour=77&d=%%%",
        "#t=nan," + "9" * 500,
        "#u=1.4e9",
    ],
)
def test_a_broken_address_is_no_harm(visit, fragment):
    tab = visit(fragment=fragment)
    settled(tab)
    assert state(tab)["method"] == "transpose"
    assert tab.inner_text("#sentence")


def test_a_unit_shows_its_arithmetic_and_what_it_does(visit, networks):
    network, _ = networks["standard"]
    tab = visit(fragment="#u=1.17")
    settled(tab)
    found = tab.evaluate("jaxbqPlay.arithmetic(jaxbqPlay.VIEW, 1, 17)")
    image = np.array(tab.evaluate("Array.from(jaxbqPlay.VIEW.image)"), np.float32)
    weight = np.asarray(network.params[0].weight)[:, 17]
    terms = np.sort(np.abs(image * weight))[::-1]
    np.testing.assert_allclose([abs(each["term"]) for each in found["top"]], terms[:10], rtol=1e-5)
    total = sum(each["term"] for each in found["top"]) + found["rest"] + found["bias"]
    assert total == pytest.approx(found["z"], abs=1e-6)
    off = tab.evaluate("Array.from(jaxbqPlay.switchedOff(jaxbqPlay.VIEW, 1, 17).outputs)")
    hidden = np.asarray(network.model.trace(network.params, image[None]).activations[1]).copy()
    hidden[:, 17] = 0
    last = network.params[1]
    expected = 1 / (1 + np.exp(-(hidden @ np.asarray(last.weight) + np.asarray(last.bias))))[0]
    np.testing.assert_allclose(off, expected, atol=1e-5)
    assert tab.inner_text("#unit-title") == "Hidden layer, unit 17"
    tab.locator("#bars-1").press("ArrowRight")
    settled(tab)
    assert tab.inner_text("#unit-title") == "Hidden layer, unit 18"
    assert tab.locator("#terms tr").count() == 14


def test_the_way_is_played_and_walked(visit):
    tab = visit(fragment="#m=ascent")
    settled(tab)
    last = tab.evaluate("jaxbqPlay.VIEW.run.frames.length - 1")
    assert last > 5
    tab.locator("#play").click()
    until(tab, "jaxbqPlay.STATE.at > 0")
    tab.locator("#play").click()
    stopped = state(tab)["at"]
    assert 0 < stopped < last
    tab.locator("#on").click()
    tab.locator("#back").click()
    tab.locator("#back").click()
    settled(tab)
    assert abs(state(tab)["at"] - stopped) <= 2
    tab.locator("#at").press("End")
    settled(tab)
    assert f"step {last} of {last}" in tab.inner_text("#step-note")


def test_the_tour_asks_five_questions(visit):
    tab = visit()
    tab.locator("#tour-open").click()
    for number in range(1, 6):
        settled(tab)
        assert tab.inner_text("#tour-title").startswith(f"{number} of 5. ")
        assert re.search(r"\d", tab.inner_text("#tour-text"))
        tab.locator("#tour-on").click()
    assert not tab.locator("#tour").is_visible()


def test_tab_reaches_everything(visit):
    tab = visit()
    settled(tab)
    reached = set()
    for _ in range(120):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.id"))
    wanted_ids = {"tour-open", "target-0", "target-9", "none", "one", "method-transpose", "draw"}
    wanted_ids |= {"undo", "read", "bars-2", "bars-1", "bars-0", "copy", "link"}
    assert wanted_ids <= reached


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("fragment", ["", "#m=preimage&s=noise", "#m=pseudo_inverse&p=none&tour=3"])
def test_nothing_is_wider_than_the_screen(visit, width, scheme, fragment):
    for name in ("standard", "mixed", "digits"):
        tab = visit(name, fragment, viewport={"width": width, "height": 800}, color_scheme=scheme)
        settled(tab)
        assert tab.evaluate("document.documentElement.scrollWidth") == width


def test_without_scripts_there_is_a_sentence_and_a_picture(visit):
    tab = visit(java_script_enabled=False)
    assert "needs JavaScript" in tab.inner_text("body")
    assert tab.locator("img.still").evaluate("(i) => i.naturalWidth") == 28
    assert not tab.locator("main").is_visible()


def test_names_are_shown_and_not_run(browser, tmp_path):
    hostile = "<script>alert(1)</script>"
    model = MLP((30, 8, 3))
    network = NetworkFile(
        model,
        random_layers(model, 1),
        ImageSpace((6, 5)),
        (hostile, "<img src=x onerror=alert(2)>", "c"),
    )
    file = tmp_path / "hostile.html"
    file.write_text(make_page(network, None, title=hostile, source=hostile).text)
    said = []
    tab = browser.new_page()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("dialog", lambda dialog: said.append(dialog.message))
    tab.goto(file.as_uri())
    settled(tab)
    assert hostile in tab.inner_text("#question")
    assert hostile in tab.inner_text("#command")
    assert hostile in tab.inner_text(".title")
    assert not said
    # What somebody adds does not run either.
    tab.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), "
        "{ textContent: 'window.ran = 1' }))"
    )
    assert tab.evaluate("window.ran") is None
    tab.close()


def test_a_network_without_inverses_still_ascends(browser, tmp_path):
    model = MLP((30, 8, 3), hidden="relu")
    network = NetworkFile(model, random_layers(model, 1), ImageSpace((6, 5)), ("a", "b", "c"))
    file = tmp_path / "relu.html"
    file.write_text(make_page(network, None).text)
    tab = browser.new_page()
    tab.goto(file.as_uri())
    settled(tab)
    assert state(tab)["method"] == "ascent"
    assert tab.locator("#method-transpose").is_disabled()
    assert "no whitened ascent" in tab.inner_text("#notes")
    tab.close()


FUZZ = (Path(__file__).parent / "play_fuzz.js").read_text()


@pytest.mark.parametrize(("name", "number"), [("standard", 1000), ("mixed", 500), ("digits", 500)])
def test_two_thousand_random_deeds_leave_no_nan(visit, name, number):
    assert visit(name).evaluate(FUZZ, [7, number]) == []
