import csv
import io
import json
import math
import re
import shutil
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.evaluation.statistics import Interval
from jaxbq.experiment import RunFolder
from jaxbq.experiment.finished import SCORES, Run
from jaxbq.experiment.folder import write_csv
from jaxbq.methods import Ascent, Grey, Method, Reason, Result, Seconds, Transpose
from jaxbq.network.files import NetworkFile, save_network
from jaxbq.network.mlp import MLP, Layer
from jaxbq.options import describe
from jaxbq.report.curves import steps_figure
from jaxbq.report.images import as_bytes
from jaxbq.report.page import render, sections, write_page
from jaxbq.report.page.gallery import Pictures
from jaxbq.report.page.view import differences, first_rows, summary, timing
from jaxbq.report.style import to_svg
from jaxbq.report.words import count, estimate, plain
from jaxbq.runtime.files import write_npz

HOSTILE = "</script><script>alert('m')</script> & \"q\""
CLASSES = ("zero", "<b>one</b>", 'a"b&c')
NETWORKS = ("0", "1", "permuted_labels")


class Problem(NamedTuple):
    """What images are of."""

    space: ImageSpace
    classes: tuple[str, ...]

    @property
    def targets(self):
        number = len(self.classes)
        return np.full((number, number), 0.01) + 0.98 * np.eye(number)


SMALL = Problem(ImageSpace((6, 5)), CLASSES)
COLUMNS = ("network", "method", "target", "sample", "reason", "iterations", "intended")
READS = ("predicted", "dense_reads", "given_reads")
MORE = ("nearest", "nearest_index", "nearest_label")
ALL = tuple(dict.fromkeys((*COLUMNS, *SCORES, *READS, *MORE)))
VOID = {"meta", "img", "br", "link", "input", "hr"}


def made_methods() -> list[Method]:
    return [Transpose(), Ascent(label=HOSTILE, steps=8, restarts=2, path=(0, 4, 8)), Grey()]


def made_result(method: Method, network: int, rng: np.random.Generator, of: Problem) -> Result:
    samples = getattr(method, "restarts", 1)
    shape = (len(of.targets), samples)
    more = {}
    if isinstance(method, Ascent):
        more = {
            "curve": np.log(rng.uniform(0.1, 1, (*shape, 9))),
            "path": rng.uniform(0, 1, (*shape, 3, of.space.pixels)),
            "restart": np.tile(np.arange(samples), (len(of.targets), 1)),
        }
    outputs = rng.uniform(0, 1, (*shape, len(of.classes)))
    return Result(
        method=method,
        targets=of.targets,
        images=rng.uniform(0, 1, (*shape, of.space.pixels)).astype(np.float32),
        outputs=outputs,
        logits=np.log(outputs / (1 - outputs)),
        reasons=np.full(shape, int(Reason.MAX_ITERATIONS)),
        iterations=rng.integers(1, 9, shape),
        diagnostics=more,
        space=of.space,
        seconds=Seconds(0.25, 1.5, 0.0625 * (network + 1)),
        operations=2.5e6,
    )


def score_row(network: str, result: Result, target: int, sample: int, rng) -> list:
    predicted = int(result.outputs[target, sample].argmax())
    row = {
        "network": network,
        "method": describe(result.method),
        "target": target,
        "sample": sample,
        "reason": "max_iterations",
        "iterations": int(result.iterations[target, sample]),
        "intended": target,
        "predicted": predicted,
        "right": predicted == target,
        "dense_reads": int(rng.integers(result.outputs.shape[2])),
        "given_reads": -1,
        "nearest_index": 40 + target,
        "nearest_label": target,
    }
    return [row.get(name, float(rng.uniform(0, 1))) for name in ALL]


def make_run(path: Path, networks=NETWORKS, methods=None, of: Problem = SMALL) -> RunFolder:
    """Write a run folder by hand: nothing trained, nothing inverted, every file there."""
    folder = RunFolder(path)
    folder.create(networks)
    rng = np.random.default_rng(3)
    methods = methods or made_methods()
    model = MLP((of.space.pixels, 4, len(of.classes)))
    rows, costs, nearest = [], [], []
    for place, network in enumerate(networks):
        params = tuple(
            Layer(rng.normal(size=shape).astype(np.float32), np.zeros(shape[1], np.float32))
            for shape in model.shapes
        )
        save_network(folder.network(network), NetworkFile(model, params, of.space, of.classes))
        write_csv(
            folder.networks / f"{network}.history.csv",
            ("epoch", "loss", "train_accuracy", "test_accuracy", "seconds"),
            [(1, 0.5, 0.5, 0.5, 0.1), (2, 0.25, 0.9, 0.875 + place / 64, 0.1)],
        )
        for number, method in enumerate(methods):
            result = made_result(method, place, rng, of)
            folder.write_result(folder.inversion(network, number, method), result)
            for target, sample in np.ndindex(*result.reasons.shape):
                rows.append(score_row(network, result, target, sample, rng))
            costs.append([network, describe(method), 0.25, 1.5, 0.0625, 3, 8, 2.5e6])
            nearest += [(network, number, target) for target in range(len(of.classes))]
    write_csv(folder.scores, ALL, rows)
    names = ("network", "method", "prepare", "compile", "run", "images", "steps", "operations")
    write_csv(folder.path / "cost.csv", names, costs)
    names, numbers, targets = map(np.array, zip(*nearest, strict=True))
    arrays = {
        "network": names,
        "method_number": numbers,
        "target": targets,
        "index": np.stack([40 + targets, 41 + targets, 42 + targets], axis=1),
        "unique": np.arange(40, 60),
        "images": rng.uniform(0, 1, (20, of.space.pixels)).astype(np.float32),
        "labels": np.arange(20) % len(of.classes),
    }
    write_npz(folder.path / "nearest.npz", arrays)
    write_rest(folder, methods)
    return folder


def write_rest(folder: RunFolder, methods) -> None:
    layer = {"number": 1, "activation": "sigmoid", "facts": {"fan_in": 30, "fan_out": 4}}
    layer |= {"found_range": [-2.5, 3.5], "outside_share": 0.75, "residual_before": 12.25}
    trace = {"method": "transpose", "method_number": 0, "target": 1, "layers": [layer]}
    judge = {"name": "dense", "description": HOSTILE, "parameters": 1234, "test_accuracy": 0.9625}
    judge |= {"noise_right": 0.34375, "noise_confidence": 0.5, "noise_shares": [0.25, 0.75, 0.0]}
    folder.write_json(
        "config.json", {"name": "hand-made", "data": {"kind": "idx", "path": HOSTILE}}
    )
    command = f"jaxbq run {HOSTILE}"
    folder.write_json("environment.json", {"python": "3.11", "command": command})
    folder.write_json("judges.json", [judge])
    folder.write_json("transfer.json", [{"name": "30-4-3 tanh, seed 7", "test_accuracy": 0.90625}])
    folder.write_json("naturalness.json", {"mean_percentile": [19.0, 51.0, 78.0]})
    folder.write_json("traces.json", [trace])
    folder.write_json("timing.json", {"compile": 6.0, "data": 1.5, "rest": 0.01})
    errors = {"error": 0.125, "pca": 0.25, "mean_image": 0.5}
    folder.write_json("autoencoders.json", [{"autoencoder": {"code": 4}, **errors}])
    others = [describe(method) for method in methods[1:]]
    write_csv(
        folder.spread,
        ("network", "method", "target", "samples", "distinct", "mean_correlation", "diversity"),
        [["0", others[0], 0, 2, 2, 0.375, 0.5]] if others else [],
    )


class Page(HTMLParser):
    """Reads a page strictly: what opens is closed, in order."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts, self.scripts = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), "an attribute is given twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open[-1:] == ["script"] else self.texts).append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def data(self):
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("page") / "run")


@pytest.fixture(scope="module")
def text(folder) -> str:
    path = write_page(Run(folder.path))
    assert path == folder.path / "report" / "index.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


@pytest.fixture
def own(tmp_path) -> RunFolder:
    """A run of one network, to spoil."""
    return make_run(tmp_path / "run", ["0"])


def score_table(folder):
    with folder.scores.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_same_files_give_the_same_bytes(folder, text, tmp_path):
    assert write_page(Run(folder.path)).read_text(encoding="utf-8") == text
    # Nor does it matter where the folder lies, or when it was made.
    other = make_run(tmp_path / "elsewhere")
    assert write_page(Run(other.path)).read_text(encoding="utf-8") == text


def test_the_page_is_whole_and_its_links_lead_somewhere(page):
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    links = [attrs["href"] for attrs in page.all("a")]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert {f"method-{n}" for n in (1, 2, 3)} | {f"class-{n}" for n in range(3)} <= set(ids)
    labelled = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(labelled) <= set(ids)
    assert [
        tag for tag, _ in page.elements if tag in ("header", "nav", "main", "footer", "h1")
    ] == [
        "header",
        "h1",
        "nav",
        "main",
        "footer",
    ]


def test_nothing_is_asked_of_anybody(page, text):
    for _, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if name in attrs:
                assert attrs[name].startswith(("data:image/", "#", "../")), attrs[name]
    assert not re.search(r"url\((?!data:image/png;base64,)", text)
    assert "@import" not in text
    assert not re.search(r"https?:", text)
    policy = page.all("meta")[1]["content"]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]+=*'", policy)


def test_markup_in_names_is_shown_and_not_run(page, text):
    assert len(page.scripts) == 2
    assert "<" not in page.scripts[0]
    assert "alert" not in page.scripts[1]
    assert "<script>alert" not in text
    assert "<b>one" not in text
    # As text of the page and as data of the script it is what the user wrote.
    shown = "".join(page.texts)
    # A label is parted before its first bracket.
    assert HOSTILE in shown.replace(" (", "(")
    assert f"jaxbq run {HOSTILE}" in shown
    assert CLASSES[1] in shown
    assert page.data["methods"][1] == HOSTILE
    assert tuple(page.data["classes"]) == CLASSES


def test_every_picture_has_words(page):
    pictures = page.all("img")
    assert sum(not image["alt"] for image in pictures) == 1  # that of the dialog, filled on opening
    assert len(pictures) > 50
    # After those of the best method and of the book's.
    first = pictures[2 * len(CLASSES)]["alt"]
    assert first.startswith("transpose, asked for zero; network 0 reads ")
    assert re.search(r"with 0\.\d\d, (right|wrong); dense judge reads ", first)
    assert not any("given judge" in image["alt"] for image in pictures)


def test_numbers_of_an_image_are_those_of_the_table(folder, page):
    table = {(r["network"], r["method"], r["target"], r["sample"]): r for r in score_table(folder)}
    columns = [name for _, name, _ in page.data["columns"]]
    assert set(columns) == set(ALL) - {"network", "method", "target", "sample", "intended"}
    shown = {int(attrs["data-row"]) for attrs in page.all("img") if "data-row" in attrs}
    rows = page.data["rows"]
    assert shown == set(range(len(rows)))
    # Two methods of one sample and one of two, on three networks, of which samples on the first.
    assert len(rows) == 3 * 3 * 3 + 3
    for network, method, target, sample, cells, outputs in rows:
        row = table[network, page.data["methods"][method], str(target), str(sample)]
        for name, cell in zip(columns, cells, strict=True):
            if name in ("predicted", "dense_reads", "nearest_label"):
                assert cell == CLASSES[int(row[name])]
            elif name == "given_reads":
                assert cell == "–"
            elif name in ("right", "reason"):
                assert cell == {"True": "yes", "False": "no"}.get(row[name], "max iterations")
            else:
                assert float(cell) == pytest.approx(float(row[name]), rel=1e-3)
        kept = folder.read_result(sorted((folder.inversions / network).glob("*.npz"))[method])
        np.testing.assert_allclose(
            [float(text) for text in outputs], kept.outputs[target, sample], rtol=0.01
        )


def test_under_an_image_stands_what_the_network_reads(folder, text):
    pattern = (
        r'class="sign">(.)</span> <span class="reads">([^<]+)</span> <span class="num">([^<]+)'
    )
    captions = re.findall(pattern, text.partition('id="chart"')[0])
    results = [folder.read_result(p) for p in sorted((folder.inversions / "0").glob("*.npz"))]
    assert len(captions) == 9
    for place, (sign, reads, output) in enumerate(captions):
        outputs = results[place // 3].outputs[place % 3, 0]
        assert unescape(reads) == CLASSES[outputs.argmax()]
        assert output == f"{outputs.max():.2f}"
        assert sign == ("✓" if outputs.argmax() == place % 3 else "✗")


def test_pixels_are_those_of_the_files(folder, text):
    rules = dict(re.findall(r"^\.(i\d+)\{background-image:url\(([^)]+)\)\}$", text, re.MULTILINE))
    images = re.findall(r'<img class="p (i\d+)" src="[^"]+" alt="[^"]+" data-row="(\d+)"', text)
    rows = Page(text).data["rows"]
    seen = set()
    for name, row in images:
        network, method, target, sample, _, _ = rows[int(row)]
        kept = folder.read_result(sorted((folder.inversions / network).glob("*.npz"))[method])
        drawn = np.asarray(Image.open(io.BytesIO(unpacked(rules[name]))))
        np.testing.assert_array_equal(drawn, as_bytes(kept.images[target, sample], SMALL.space))
        seen.add(row)
    assert len(seen) == len(rows)
    # Each picture is in the page once, though images are shown more often.
    assert len(images) > len(set(images)) >= len(rows)
    assert max(Counter(rules.values()).values()) == 1


def unpacked(address: str) -> bytes:
    import base64

    return base64.b64decode(address.partition("base64,")[2])


def test_the_summary_is_of_trained_networks_and_best_samples(folder, page):
    rows = [r for r in score_table(folder) if r["network"] in "01" and r["sample"] == "0"]
    found = summary(Run(folder.path))
    assert [column.key for column in found["columns"][:2]] == ["fidelity", "right"]
    for line, name in zip(found["lines"], map(describe, made_methods()), strict=True):
        own = [float(r["fidelity"]) for r in rows if r["method"] == name]
        assert len(own) == 6
        text, between, value = line["cells"][0]
        assert float(value) == pytest.approx(sum(own) / 6)
        assert between.startswith("[")
        assert float(text) == pytest.approx(sum(own) / 6, abs=0.06)
    labels = [column.label for column in found["columns"]]
    spent = dict(zip(labels, (text for text, _, _ in found["lines"][0]["cells"]), strict=True))
    assert spent["Seconds"] == "0.0625"
    assert spent["Operations"] == "2.5 M"
    values = [attrs["data-value"] for attrs in page.all("td") if "data-value" in attrs]
    first = [line["cells"][0][2] for line in found["lines"]]
    assert first == values[1 :: len(found["columns"]) + 1]


def test_the_first_screen_has_the_best_that_asks_the_network_and_the_books_way(folder, text):
    run = Run(folder.path)
    sums = {}
    for n, method in enumerate(run.methods):
        if method != "grey":
            best = [
                row
                for row in score_table(folder)
                if row["method"] == method and row["sample"] == "0" and row["network"].isdecimal()
            ]
            sums[n] = np.mean([float(row["fidelity"]) + float(row["readability"]) for row in best])
    best = max(sums, key=sums.get)
    found = first_rows(run)
    assert [each["method"] for each in found] == list(dict.fromkeys((best, 0)))
    start = text[text.index("<h1>") : text.index('<dl class="facts-list"')]
    assert start.count('class="first"') == len(found)
    assert len(re.findall('class="p i', start)) == len(found) * len(CLASSES)
    assert all(each["words"] in unescape(start) for each in found)


def test_what_the_page_says_beside_the_results(page):
    shown = " ".join("".join(page.texts).split())
    for words in (
        "3 methods asked 2 trained networks (and 1 control), for each of 3 targets",
        "which share of real test images are at least as unusual",
        "test accuracy 87.5 % to 89.1 % (2 networks)",
        "0.99 of the class asked for, 0.01 of every other",
        "0.375: mean correlation between samples.",
        "all steps allowed were taken (6 of 6 images)",
        "running 0.0625 s",
        "30-4-3 tanh, seed 7",
        "−2.5 to 3.5",
        "<b>one</b>: 75.0 %",
        "#41",
        "network trained on permuted labels",
    ):
        assert words in shown, words
    assert [a["href"] for a in page.all("a")][-1].startswith("../")


def test_differences_that_hold_are_seen_from_either_side(own):
    # One method is clearly less faithful; the others differ by chance.
    known = score_table(own)
    first = [row for row in known if row["network"] == "0"]
    others = [row for row in known if not row["network"].isdecimal()]
    rows = [row | {"network": str(n)} for n in range(5) for row in first] + others
    for number in range(1, 5):
        shutil.copytree(own.inversions / "0", own.inversions / str(number), dirs_exist_ok=True)
    for number, row in enumerate(rows):
        low = row["method"] == "grey"
        row["fidelity"] = f"{(0.1 if low else 0.9) + 0.001 * (7 * number % 5)}"
    write_csv(own.scores, ALL, [[row[name] for name in ALL] for row in rows])
    run = Run(own.path)
    square = next(each for each in differences(run) if each["score"] == "Fidelity")
    signs = {(n, k): sign for n, _, cells in square["rows"] for k, (sign, _) in enumerate(cells, 1)}
    assert {place for place, sign in signs.items() if sign == "+"} == {(1, 3), (2, 3)}
    assert {place for place, sign in signs.items() if sign == "−"} == {(3, 1), (3, 2)}
    cells = [a for a in Page(render(run)).all("td") if a.get("class") in ("more", "less")]
    assert cells[0]["title"].startswith("transpose less grey: 0.8")
    assert "grey less transpose: −0.8" in cells[2]["title"]


OPTIONAL = {
    "judges.json": "Judge",
    "transfer.json": "Independently trained networks that",
    "naturalness.json": "What real test images score",
    "autoencoders.json": "Autoencoders that methods use",
    "traces.json": "The way back through the layers",
    "nearest.npz": "the nearest training images beside each",
    "cost.csv": "Operations",
    "timing.json": "Where the time went",
    "spread.csv": "mean correlation between samples",
    "config.json": "All options, resolved",
    "environment.json": "The command that made this run",
    "networks/0.history.csv": "test accuracy",
}


def test_what_is_not_there_is_left_out(own, text):
    assert [words for words in OPTIONAL.values() if words not in text] == []
    for name in OPTIONAL:
        (own.path / name).unlink()
    bare = render(Run(own.path))
    assert [words for words in OPTIONAL.values() if words in bare] == []
    assert "was not kept" in "".join(Page(bare).texts)


def test_where_the_time_went_is_said_the_longest_first(own):
    table = timing(Run(own.path))
    rows = [(head, *cells) for head, [cells] in table.groups]
    assert rows == [
        ("compiling programs", "6.0", "80 %"),
        ("reading the data", "1.5", "20 %"),
        ("together", "7.5", "100 %"),
    ]


def test_a_quality_that_was_not_measured_is_not_promised(own):
    assert "four different things" in render(Run(own.path))
    own.write_json("transfer.json", [])
    text = render(Run(own.path))
    assert "three different things" in text
    assert "and <b>naturalness</b>" in text
    assert "<b>transfer</b>" not in text


def test_a_table_of_scores_with_few_columns(own):
    rows = score_table(own)
    few = ("network", "method", "target", "sample", "right", "largest_error")
    write_csv(own.scores, few, [[row[name] for name in few] for row in rows])
    text = write_page(Run(own.path)).read_text(encoding="utf-8")
    Page(text)
    assert 'id="chart"' not in text
    assert "largest output error" in text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scores.csv", "network,method,target,sample,fidelity\n0,transpose,zero,0,1\n"),
        ("scores.csv", "network,method,target,sample\n0,transpose,0\n"),
        ("scores.csv", "network,method\n0,transpose\n"),
        ("judges.json", "{}"),
        ("judges.json", '[{"name": "a", "test_accuracy": "high"}]'),
        ("judges.json", '[{"name": "a"'),
        ("transfer.json", '[{"test_accuracy": 1}]'),
        ("naturalness.json", '{"nearest": 1}'),
        ("naturalness.json", '{"naturalness": ["a", 1, 2]}'),
        ("traces.json", '[{"method_number": 0, "target": 9, "layers": []}]'),
        ("traces.json", '[{"method_number": 0, "target": 0, "layers": [{}]}]'),
        ("autoencoders.json", '[{"autoencoder": 1, "error": 1}]'),
        ("cost.csv", "network,method,run\n0,transpose,soon\n"),
        ("timing.json", '{"compile": "long"}'),
        ("networks/0.history.csv", "epoch\n1\n"),
        ("nearest.npz", "PK"),
        ("config.json", "[]"),
    ],
)
def test_a_damaged_file_is_told_in_one_line(own, name, content):
    (own.path / name).write_text(content, encoding="utf-8")
    with pytest.raises(JaxbqError) as told:
        write_page(Run(own.path))
    assert name.rpartition("/")[2] in str(told.value)
    assert "\n" not in str(told.value)
    assert not (own.path / "report").exists()


def test_a_damaged_result(own):
    path = next((own.inversions / "0").glob("01-*.npz"))
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    about["space"]["shape"] = [6, 4]
    path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(JaxbqError, match="do not fit each other"):
        write_page(Run(own.path))
    about["space"]["shape"] = [5, 6]
    path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(JaxbqError, match="do not belong together"):
        write_page(Run(own.path))


def test_a_folder_without_results(tmp_path):
    with pytest.raises(JaxbqError, match="run its config first"):
        write_page(Run(tmp_path))


def test_images_of_further_networks_end_where_there_is_no_room(folder, monkeypatch):
    monkeypatch.setattr(sections, "ROOM", 0)
    text = render(Run(folder.path))
    assert "2 more networks in inversions/, not on this page" in text
    assert "data-way" not in text.partition("<script>")[0]


@pytest.mark.slow
def test_many_networks_make_no_large_page(tmp_path):
    methods = [Ascent(label=f"method {n}", steps=8, restarts=2) for n in range(18)]
    digits = Problem(ImageSpace((28, 28)), tuple("0123456789"))
    folder = make_run(tmp_path / "run", [*map(str, range(12)), "permuted_labels"], methods, digits)
    # Noise, which no PNG makes smaller.
    assert 4e6 < len(write_page(Run(folder.path)).read_bytes()) < 10e6


def test_lines_leave_out_what_is_not_finite_and_say_names_as_they_are():
    curves = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, -1.0, np.nan]])
    figure = steps_figure(curves, ["$a$", "<b>", "_c"])
    shown = [line.get_ydata() for line in figure.axes[0].lines]
    np.testing.assert_array_equal(shown, curves)
    svg = to_svg(figure, "lines", "first", '"words" <&>')
    assert 'aria-label="&quot;words&quot; &lt;&amp;&gt;"' in svg
    assert "$a$" in svg
    assert "<b>" not in svg
    ids = re.findall(r' id="([^"]*)"', svg)
    assert all(name.startswith("first-") for name in ids)
    assert len(ids) == len(set(ids))
    # Nothing in it leads out of it.
    assert {name[1:] for name in re.findall(r'href="([^"]*)"', svg)} <= set(ids)
    assert "url(" not in svg
    assert "http" not in svg
    assert svg == to_svg(
        steps_figure(curves, ["$a$", "<b>", "_c"]), "lines", "first", '"words" <&>'
    )


def test_how_numbers_are_written():
    assert [plain(v) for v in (1, 0.99999, 0.5, 12345.6, -0.25, math.nan, math.inf)] == [
        "1",
        "1.00",
        "0.5",
        "12,346",
        "−0.25",
        "–",
        "∞",
    ]
    found = {
        (0.8765, 0.81, 0.92): ("0.88", "[0.81, 0.92]"),
        (-0.8765, -0.92, -0.81): ("−0.88", "[−0.92, −0.81]"),
        (0.8765, 0.8743, 0.8789): ("0.8765", "[0.8743, 0.8789]"),
        (0.8767, math.nan, math.nan): ("0.877", ""),
        (math.nan, math.nan, math.nan): ("–", ""),
    }
    assert {ends: estimate(Interval(*ends, 5, "networks")) for ends in found} == found
    assert [count(v) for v in (12.0, 3.2e6, 4.56e12)] == ["12", "3.2 M", "4.56 T"]


def test_pictures_are_kept_once_and_in_colour():
    grey = Pictures(ImageSpace((2, 2), -1, 1))
    image = np.array([-1.0, 1.0, 0.0, 5.0])
    assert grey.add(image) == grey.add(image.copy()) == "i0"
    assert grey.add(-image) == "i1"
    drawn = np.asarray(Image.open(io.BytesIO(unpacked(next(grey.rules())[1]))))
    assert drawn.tolist() == [[255, 0], [128, 0]]  # ink is dark, what is beyond takes the end
    colour = Pictures(ImageSpace((1, 2, 3)))
    colour.add(np.array([1.0, 0, 0, 0, 0, 1]))
    drawn = np.asarray(Image.open(io.BytesIO(unpacked(next(colour.rules())[1]))))
    assert drawn.tolist() == [[[255, 0, 0], [0, 0, 255]]]
    with pytest.raises(JaxbqError, match="cannot be drawn"):
        Pictures(ImageSpace((2, 2, 2)))
