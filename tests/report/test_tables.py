import csv
import itertools
import math
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.evaluation.statistics import Interval, compare_pairs, interval
from jaxbq.experiment import RunFolder
from jaxbq.experiment.finished import GROUPS, HEADLINES, SCORES, Run
from jaxbq.experiment.folder import write_csv
from jaxbq.report.page import environment
from jaxbq.report.page.sections import Table
from jaxbq.report.tables import (
    escape_latex,
    escape_markdown,
    to_latex,
    to_markdown,
    write_tables,
)
from jaxbq.report.words import rounded, written_p

HOSTILE = "a|b & <script>alert(1)</script> 100% $x_1$ #2 {c} ~^\\ [d](e) *f* `g` é λ≤± 中 --\n"
METHODS = ("transpose", HOSTILE, "[whitened]")


def score_rows(rng, *, seeds=5, methods=METHODS, classes=3, controls=(), shift=0.0):
    """Rows as in scores.csv, of two samples each, the second never the same as the first."""
    rows = []
    for network in (*map(str, range(seeds)), *controls):
        for number, method in enumerate(methods):
            own = 0.5 + 0.1 * number + shift + 0.1 * rng.normal()
            for target in range(classes):
                for sample in (0, 1):
                    row = {"network": network, "method": method, "target": target, "sample": sample}
                    for name in SCORES:
                        value = np.clip(own + 0.1 * rng.normal() - sample, 0, 1)
                        scale = 100 if name.endswith("percentile") or name == "naturalness" else 1
                        row[name] = scale * value
                    row["right"] = bool(row["right"] > 0.5)
                    row["ssim_percentile"] = ""
                    rows.append({key: str(cell) for key, cell in row.items()})
    return rows


def cost_rows(seeds=5, methods=METHODS, controls=()):
    return [
        {"network": n, "method": m, "run": f"{1 + k}.5", "operations": "3200000000"}
        for k, n in enumerate((*map(str, range(seeds)), *controls))
        for m in methods
    ]


def write_run(path, rows, cost):
    path.mkdir(parents=True, exist_ok=True)
    for name, table in (("scores.csv", rows), ("cost.csv", cost)):
        if not table:
            continue
        write_csv(path / name, list(table[0]), [list(row.values()) for row in table])
    return RunFolder(path)


@pytest.fixture
def opened(tmp_path):
    """Makes a run of rows."""
    numbers = itertools.count()

    def make(rows, cost=()):
        return Run(write_run(tmp_path / f"made-{next(numbers)}", rows, cost).path)

    return make


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        # Half the width 0.023, two digits; 0.054, one.
        ((0.8731, 0.8512, 0.8972), "0.873 [0.851, 0.897]"),
        ((0.8731, 0.8202, 0.9282), "0.87 [0.82, 0.93]"),
        ((54.321, 40.0, 65.0), "54 [40, 65]"),
        ((1234.5, 1000.0, 1700.0), "1200 [1000, 1700]"),
        ((-0.0004, -0.04, 0.04), "0.00 [-0.04, 0.04]"),
        ((0.5, 0.0, 1.0), "0.5 [0.0, 1.0]"),
        ((3.04e-15, 2.0e-15, 4.1e-15), "3.0e-15 [2.0e-15, 4.1e-15]"),
        ((1e-15, 0.0, 2e-15), "1.0e-15 [0, 2.0e-15]"),
        ((3.21e9, 3.0e9, 3.4e9), "3.21e+09 [3.00e+09, 3.40e+09]"),
        ((0.99999986, 0.99999975, 0.99999994), "1.0000 [1.0000, 1.0000]"),
        # No variation, and nothing to tell it by.
        ((1.0, 1.0, 1.0), "1.000"),
        ((0.25, math.nan, math.nan), "0.250"),
        ((-0.0, -0.0, -0.0), "0.000"),
        ((3.2e9, 3.2e9, 3.2e9), "3.20e+09"),
        ((2e-9, 2e-9, 2e-9), "2.00e-09"),
        ((math.nan, math.nan, math.nan), ""),
    ],
)
def test_numbers_are_rounded_to_their_uncertainty(found, text):
    assert rounded(Interval(*found, 5, "networks")) == text


def test_p_values_are_short():
    shown = [written_p(p) for p in (1.0, 0.0999, 0.0501, 0.00494, 0.00012, 1e-9, math.nan)]
    assert shown == ["1.00", "0.100", "0.050", "0.0049", "0.0001", "<0.0001", ""]


def test_only_best_images_of_trained_networks_count(rng, opened):
    rows = score_rows(rng, controls=("random_weights",))
    found = opened(rows, cost_rows()).intervals()
    assert list(found) == list(METHODS)
    best = [r for r in rows if r["sample"] == "0" and r["network"].isdecimal()]
    for name in ("fidelity", "naturalness"):
        mine = [float(r[name]) for r in best if r["method"] == HOSTILE]
        assert found[HOSTILE][name].mean == pytest.approx(np.mean(mine))
        assert found[HOSTILE][name].number == 5
    right = [r["right"] == "True" for r in best if r["method"] == HOSTILE]
    assert found[HOSTILE]["right"].mean == pytest.approx(np.mean(right))
    # More restarts are no more networks.
    alone = opened([r for r in rows if r["sample"] == "0"], cost_rows()).intervals()
    assert str(alone) == str(found)


def test_scores_are_of_networks_and_classes_in_their_order(rng, opened):
    rows = score_rows(rng, seeds=11, classes=11)
    rng.shuffle(rows)
    run = opened(rows, cost_rows(11))
    values = run.values()["transpose"]["fidelity"]
    assert values.shape == (11, 11)
    for network, target in ((10, 2), (2, 10)):
        (row,) = [
            r
            for r in rows
            if (r["network"], r["target"], r["method"]) == (str(network), str(target), "transpose")
            and r["sample"] == "0"
        ]
        assert values[network, target] == float(row["fidelity"])
    ends = interval(values, within=(0, 1))
    assert run.intervals()["transpose"]["fidelity"] == ends


def test_costs_are_of_networks(rng, opened):
    found = opened(score_rows(rng), cost_rows()).intervals()["transpose"]
    assert found["seconds"].mean == pytest.approx((1.5 + 2.5 + 3.5 + 4.5 + 5.5) / 5)
    assert found["seconds"].number == 5
    assert found["operations"][:3] == (3.2e9,) * 3
    alone = opened(score_rows(rng, seeds=1), cost_rows(1)).intervals()["transpose"]
    assert alone["seconds"][3:] == (1, "networks")
    assert alone["fidelity"][3:] == (3, "classes")


def test_intervals_of_shares_and_percentiles_end_where_these_do(rng, opened):
    rows = [
        r | {"fidelity": "1.0" if r["network"] != "0" else "0.8", "naturalness": "100.0"}
        for r in score_rows(rng, seeds=6)
    ]
    found = opened(rows).intervals()["transpose"]
    assert found["fidelity"].high == 1
    assert found["naturalness"].high == 100
    assert found["seconds"].number == 0


def test_controls_are_apart(rng, opened):
    names = ("permuted_labels", "random_weights")
    rows = score_rows(rng, controls=names)
    run = opened(rows, cost_rows(controls=names))
    assert run.controls == list(names)
    found = run.intervals("random_weights")["transpose"]
    own = [r for r in rows if r["network"] == "random_weights" and r["sample"] == "0"]
    mean = np.mean([float(r["fidelity"]) for r in own if r["method"] == "transpose"])
    assert found["fidelity"].mean == pytest.approx(mean)
    assert found["fidelity"].unit == "classes"
    assert found["seconds"].mean == 7.5


def test_pairs_are_corrected_within_a_score(rng, opened):
    rows = score_rows(rng)
    run = opened(rows)
    assert list(run.pairs) == list(HEADLINES)
    values = {m: own["transfer"] for m, own in run.values().items()}
    assert run.pairs["transfer"] == compare_pairs(values, within=(0, 1))
    unread = [r | {"readability": "", "transfer": ""} for r in rows]
    assert list(opened(unread).pairs) == ["fidelity", "naturalness", "specificity"]


def test_tables_of_a_run(rng, tmp_path):
    names = ("permuted_labels", "random_weights")
    rows = score_rows(rng, controls=names)
    folder = write_run(tmp_path / "run-1", rows, cost_rows(controls=names))
    run = Run(folder.path)
    paths = write_tables(run)
    kinds = [
        f"{stem}.{suffix}"
        for stem in ("summary", "controls", "pairs")
        for suffix in ("csv", "md", "tex")
    ]
    assert [p.name for p in paths] == [*kinds, "paper.tex"]
    summary = read(paths[0])
    assert [row["method"] for row in summary] == list(METHODS)
    shown = run.intervals()["transpose"]["fidelity"]
    ends = ("mean", "low", "high")
    assert [float(summary[0][f"fidelity_{end}"]) for end in ends] == list(shown[:3])
    assert summary[0]["fidelity"] == rounded(shown)
    assert not [column for column in summary[0] if column.startswith("ssim")]
    assert [(row["network"], row["method"]) for row in read(paths[3])] == [
        (name, method) for name in names for method in METHODS
    ]
    assert len(read(paths[6])) == 5 * 3
    assert float(read(paths[6])[0]["p_holm"]) >= float(read(paths[6])[0]["p"])
    before = {path: path.read_bytes() for path in paths}
    assert write_tables(Run(folder.path)) == paths
    assert {path: path.read_bytes() for path in paths} == before


def test_a_run_without_controls_has_no_table_of_them(rng, tmp_path):
    folder = write_run(tmp_path / "run-1", score_rows(rng, seeds=1), cost_rows(1))
    paths = write_tables(Run(folder.path))
    assert {path.stem for path in paths} == {"summary", "pairs", "paper"}
    assert "over 3 classes; fewer than 5 networks say little of others" in paths[1].read_text()
    pairs = (tmp_path / "run-1" / "tables" / "pairs.md").read_text()
    assert "nothing is tested" in pairs
    assert "Holm" not in pairs


def test_runs_of_older_versions_are_refused(rng, tmp_path, opened):
    rows = [{k: v for k, v in r.items() if k != "transfer"} for r in score_rows(rng)]
    with pytest.raises(JaxbqError, match=r"lacks the column transfer.*run its config again$"):
        write_tables(Run(write_run(tmp_path / "a", rows, cost_rows()).path))
    folder = write_run(tmp_path / "b", score_rows(rng), cost_rows())
    (folder.path / "cost.csv").unlink()
    with pytest.raises(JaxbqError, match=r"cost\.csv.*run its config again"):
        write_tables(Run(folder.path))
    rows = score_rows(rng)
    rows[0]["fidelity"] = "much"
    with pytest.raises(JaxbqError, match="fidelity 'much' is no number"):
        opened(rows).intervals()
    with pytest.raises(JaxbqError, match="lacks the column network"):
        opened([{"method": "a"}]).intervals()
    with pytest.raises(JaxbqError, match="lacks the column run"):
        opened(score_rows(rng), [{"network": "0", "method": "a", "operations": ""}]).intervals()
    (folder.path / "scores.csv").write_text("network,method\n")
    with pytest.raises(JaxbqError, match="is empty"):
        write_tables(Run(folder.path))


def test_every_score_has_one_group():
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names))
    assert set(SCORES) == set(names) - {"seconds", "operations", *GROUPS["bound"]}
    assert set(HEADLINES) < set(SCORES)


def test_markdown_shows_text_as_it_is():
    shown = escape_markdown(HOSTILE)
    assert "<" not in shown
    assert "&lt;script&gt;" in shown
    assert "\n" not in shown
    assert "](" not in shown
    assert escape_markdown("a|b") == "a\\|b"
    assert escape_markdown("0.87 [0.81, 0.92]") == "0.87 [0.81, 0.92]"
    made = to_markdown(
        HOSTILE, "note", {"t": pd.DataFrame([[HOSTILE, "<0.01"]], columns=["a", "b"])}
    )
    table = [line for line in made.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in table)


def test_the_table_for_a_paper_marks_the_best(rng, tmp_path):
    run = Run(write_run(tmp_path / "run", score_rows(rng), cost_rows()).path)
    text = next(p for p in write_tables(run) if p.name == "paper.tex").read_text()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    found = run.intervals()
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    heads = [cell.strip(" \\") for cell in rows[0].split("&")][1:]
    assert heads[:3] == ["fidelity", "readability", "naturalness"]
    assert len(rows) == 1 + len(found)
    for column, name in enumerate(heads, 1):
        worth = [min(own[name].mean, 0.5 if name == "naturalness" else 1) for own in found.values()]
        # A name may hold an escaped ampersand.
        cells = [re.split(r"(?<!\\)&", row)[column] for row in rows[1:]]
        bold = [n for n, cell in enumerate(cells) if "textbf" in cell]
        assert int(np.argmax(worth)) in bold
        assert {round(worth[n], 3) for n in bold} == {round(max(worth), 3)}
        for cell, own in zip(cells, found.values(), strict=True):
            assert rounded(own[name]).partition(" [")[0].replace("-", "$-$") in cell


def test_latex_escapes():
    expected = {
        "&%$#_{}": r"\&\%\$\#\_\{\}",
        "~^\\": r"\textasciitilde{}\textasciicircum{}\textbackslash{}",
        "<a>|": r"\textless{}a\textgreater{}\textbar{}",
        "[b]*": "{[}b{]}{*}",
        "x-ray--": "x-{}ray-{}-{}",
        "-0.1 [-2, 1e-05]": r"$-$0.1 {[}$-$2, 1e$-$05{]}",
        "a=-3": "a=$-$3",
        "±≤λΣ²∞−": r"$\pm$$\leq$$\lambda$$\Sigma$$^2$$\infty$$-$",
        "é Å š ß": r"\'{e} \r{A} \v{s} \ss{}",
        "中": r"\texttt{U+4E2D}",
        "a\nb\x00": "a b ",
    }
    assert {text: escape_latex(text) for text in expected} == expected
    assert escape_latex(HOSTILE).isascii()


def test_a_name_is_shown_as_it_is_in_every_format(rng, tmp_path):
    name = "a_b & <i>"
    methods = ("transpose", name)
    run = Run(
        write_run(tmp_path / "run", score_rows(rng, methods=methods), cost_rows(4, methods)).path
    )
    csv_file, markdown, latex, *_ = write_tables(run)
    assert [row["method"] for row in read(csv_file)] == list(methods)
    assert "| a\\_b &amp; &lt;i&gt; |" in markdown.read_text()
    assert r"\raggedright a\_b \& \textless{}i\textgreater{} &" in latex.read_text()
    lines = [[name, "<1"], ["b", "2"], ["b", "3"]]
    parts = environment().get_template("parts.html.j2").module
    made = parts.facts(Table.of(name, ["method", "n"], lines, share=True))
    assert '<th scope="row">a_b &amp; &lt;i&gt;</th>' in made
    assert "<caption>a_b &amp; &lt;i&gt;</caption>" in made
    assert "<i>" not in made
    # Rows of one heading share it.
    assert made.count('<th scope="rowgroup" rowspan="2">b</th>') == made.count(">b<") == 1
    assert made.count("<td>") == 3
    assert made.count("<tr>") == 4


def test_long_tables_are_broken_into_pages():
    table = pd.DataFrame({"a": [f"m{n}" for n in range(90)], "c": "1"})
    text = to_latex("t", "n", {"b": table})
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    assert text.count("continued") == 2
    assert all(rf"m{n} & 1 \\" in text for n in range(90))


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no LaTeX here")
def test_latex_compiles(rng, tmp_path):
    every = "".join(chr(n) for n in (*range(32, 127), *range(160, 0x250), *range(0x370, 0x400)))
    methods = (HOSTILE, every + "×÷·≥≠≈∞→←√∇∂‖°µϕϵ⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉…–—‘’“”")
    folder = write_run(
        tmp_path / "run_1", score_rows(rng, methods=methods), cost_rows(methods=methods)
    )
    inputs = "".join(
        rf"\input{{{p.name}}}" for p in write_tables(Run(folder.path)) if p.suffix == ".tex"
    )
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}%s\end{document}"
    (folder.path / "tables" / "all.latex").write_text(document % inputs)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.latex"],
        cwd=folder.path / "tables",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
