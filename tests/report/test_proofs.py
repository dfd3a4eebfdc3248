"""What the report shows of certificates: a column, a section, a table; and nothing without them."""

import csv

import numpy as np
import pytest
from test_page import HOSTILE, Page, make_run, score_table

from jaxbq.errors import JaxbqError
from jaxbq.experiment.certificates import COLUMNS
from jaxbq.experiment.finished import Run
from jaxbq.experiment.folder import write_csv
from jaxbq.report.page import render
from jaxbq.report.page.sections import UNKNOWN
from jaxbq.report.tables import write_tables
from jaxbq.runtime.files import make_folder, write_npz

# More than any logit of the hand-made run, and targets 0 and 2 alone.
PROVEN = {0: 7.5, 2: 9.249}


@pytest.fixture
def own(tmp_path):
    """A run with networks 0 and 1, whose images lie in the pixel range but for two."""
    folder = make_run(tmp_path / "run", ["0", "1"])
    rows = score_table(folder)
    outside = [row["network"] == "0" and row["method"] == "transpose" for row in rows]
    table = [[*row.values(), int(out)] for row, out in zip(rows, outside, strict=True)]
    write_csv(folder.scores, [*rows[0], "pixels_outside"], table)
    return folder


def certify(folder, radius="", what="logit"):
    rows = []
    for network in "01":
        make_folder(folder.certificates / network)
        for target, proven in PROVEN.items():
            image = np.full(30, target / 2)
            write_npz(folder.certificate(network, target), {"image": image})
            words = f"Found -5. {HOSTILE}"
            row = (network, target, target, what, radius, -5.001, proven, "", 3, words)
            rows.append(row)
    write_csv(folder.path / "certificates.csv", COLUMNS, rows)
    return Run(folder.path)


def cells(page):
    return [text.strip() for text in page.texts if text.strip()]


def test_without_certificates_nothing_is_said_of_them(own):
    page = Page(render(Run(own.path)))
    assert "certificates" not in {attrs.get("id") for attrs in page.all("section")}
    assert "Below the bound" not in cells(page)
    assert "bound" not in (write_tables(Run(own.path))[1]).read_text()


def test_a_bound_that_is_no_number_is_not_shown(own):
    table = certify(own).path / "certificates.csv"
    table.write_text(table.read_text().replace("9.249", "inf"))
    shown = cells(Page(render(Run(own.path))))
    start = shown.index("proven: no image exceeds")
    assert shown[start + 1 : start + 3] == ["7.50", UNKNOWN]


def test_a_column_and_a_section(own):
    run = certify(own)
    text = render(run)
    page = Page(text)
    assert "certificates" in {attrs.get("id") for attrs in page.all("section")}
    assert "#certificates" in {attrs.get("href") for attrs in page.all("a")}
    assert f"Found −5. {HOSTILE}" in cells(page)
    assert text.count("best picture that the search found for") == 2
    # Network 0 alone, with roundings to the safe side.
    shown = cells(page)
    start = shown.index("best that the search found")
    assert shown[start : start + 6] == [
        *("best that the search found", "−5.01", "−5.01"),
        *("proven: no image exceeds", "7.50", "9.25"),
    ]
    logits = run.results("0")[2].logits[:, 0]
    row = shown.index("grey", shown.index("Image"))
    values = [float(cell.replace("−", "-")) for cell in shown[row + 1 : row + 3]]
    assert values == [np.floor(100 * logits[k, k]) / 100 for k in PROVEN]
    below = [
        [PROVEN[k] - run.results(network)[2].logits[k, 0, k] for k in PROVEN] for network in "01"
    ]
    assert run.intervals()["grey"]["below_bound"].mean == pytest.approx(np.mean(below))
    # Of network 0 no image of the transpose is in the range.
    left = [PROVEN[k] - run.results("1")[0].logits[k, 0, k] for k in PROVEN]
    assert run.intervals()["transpose"]["below_bound"].mean == pytest.approx(np.mean(left))


def test_tables_have_the_distance_to_the_bound(own):
    paths = write_tables(certify(own))
    with paths[0].open(newline="", encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    found = Run(own.path).intervals()["grey"]["below_bound"]
    assert float(rows["grey"]["below_bound_mean"]) == found.mean
    assert "| method | below bound |" in paths[1].read_text()
    assert r"below bound" in paths[2].read_text()


def test_margins_are_of_the_best_of_the_others(own):
    run = certify(own, what="margin")
    for _, row in run.reached[run.reached["method"] == "grey"].iterrows():
        logits = run.results(row["network"])[2].logits[row["target"], 0]
        others = [logits[k] for k in range(3) if k != row["target"]]
        assert row["reached"] == pytest.approx(logits[row["target"]] - max(others))


def test_a_ball_is_not_what_methods_are_held_against(own):
    run = certify(own, radius=0.5)
    page = Page(render(run))
    assert "Below the bound" not in cells(page)
    assert "The table above" not in render(run)
    assert "proven: no image exceeds" in cells(page)
    assert "grey" not in cells(page)[cells(page).index("Image") :][:6]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.certificate("0", 2).unlink(), r"02\.npz: damaged"),
        (lambda f: write_npz(f.certificate("0", 0), {"image": np.zeros(3)}), "damaged"),
        (lambda f: (f.path / "certificates.csv").write_text("network,found\n0,1\n"), "target"),
        (
            lambda f: write_csv(
                f.path / "certificates.csv",
                COLUMNS,
                [("0", 7, 0, "logit", "", 1.0, 2.0, 0.5, 1, "")],
            ),
            r"certificates\.csv: damaged",
        ),
        (
            lambda f: write_csv(
                f.path / "certificates.csv",
                COLUMNS,
                [("0", 1, 9, "logit", "", 1.0, 2.0, 0.5, 1, "")],
            ),
            r"certificates\.csv: damaged",
        ),
    ],
)
def test_a_damaged_file_is_one_line(own, spoil, message):
    certify(own)
    spoil(own)
    with pytest.raises(JaxbqError, match=message):
        render(Run(own.path))
