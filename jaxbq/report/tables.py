r"""The tables of a run: every method's scores with intervals, and all pairs of methods.

Each is written as CSV with all digits, as Markdown and as LaTeX that needs booktabs alone; numbers
are rounded to their uncertainty. For a paper all of the headline scores are one ``tabular``.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import JaxbqError
from ..evaluation.statistics import Interval
from ..experiment.finished import GROUPS, HEADLINES, Intervals, Run
from ..runtime.files import make_folder, write_text
from .words import UNTESTED, rounded, written

_PAGE = 40  # rows of a LaTeX tabular, which does not break over pages
_SUMMARY = (
    "Mean and 95 % interval over {}, the best image of each target. Percentiles are among real "
    "test images; seconds and operations are of all images of a network."
)
_FEW = f"Difference of means and its 95 % interval over classes; {UNTESTED}"
_PAIRS = (
    "Difference of means and its 95 % interval; p of a paired t-test with Holm's correction "
    "over all pairs of one score; effect: difference in standard deviations of the "
    "differences, with Hedges' correction."
)
_MARKDOWN = {**{sign: f"\\{sign}" for sign in "\\`*_|~"}, "&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Of numbers; a hyphen in a name stays one.
_MINUS = re.compile(r"(?:(?<![^\s\[(=,])|(?<=\de))-(?=[\d.∞])")
# After a line's end a bracket or a star would be an argument of it; < > | are other characters in
# LaTeX's old default encoding; two hyphens would make a dash.
_TEX_TEXT = (
    r"\textbackslash{} \textasciitilde{} \textasciicircum{} \textless{} \textgreater{} "
    r"\textbar{} {[} {]} {*} -{} \dots{} -- --- ` ' `` '' \ss{} \ae{} \o{} \oe{} \l{}"
)
_TEX = {sign: f"\\{sign}" for sign in "&%$#_{}"}
_TEX |= dict(zip("\\~^<>|[]*-…–—‘’“”ßæøœł", _TEX_TEXT.split(), strict=True))
_TEX_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327", "`'^~\"rvc", strict=True)
)
_TEX_SIGNS = (
    r"\pm - \times \div \cdot \leq \geq \neq \approx \infty \to \leftarrow \surd \nabla "
    r"\partial \| ^\circ \mu \phi \epsilon"
)
_TEX_MATH = dict(zip("±−×÷·≤≥≠≈∞→←√∇∂‖°µϕϵ", _TEX_SIGNS.split(), strict=True))
_TEX_MATH |= {sign: f"^{digit}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
_TEX_MATH |= {sign: f"_{digit}" for digit, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")}
_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"


def write_tables(run: Run) -> list[Path]:
    """Write the tables of a run: summary, paper, controls where there are any, pairs of methods.

    Returns:
        The files: CSV with all digits beside the rounded text, Markdown and LaTeX; the paper's
        table is LaTeX alone.

    Raises:
        JaxbqError: a file of the run is missing, damaged or of an older version, or one cannot be
            written.
    """
    trained = run.intervals()
    if run.cost.empty:
        raise JaxbqError(f"{run.folder.cost}: cannot be read; run its config again")
    where = make_folder(run.folder.tables)
    paths = _write_summaries(where / "summary", f"Scores of {run.name}", {"": trained})
    if run.controls:
        controls = {name: run.intervals(name) for name in run.controls}
        paths += _write_summaries(where / "controls", f"Controls of {run.name}", controls)
    paper = where / "paper.tex"
    write_text(paper, _paper_table(trained))
    return [*paths, *_write_pairs(where / "pairs", run), paper]


def _write_summaries(stem: Path, title: str, summaries: Mapping[str, Intervals]) -> list[Path]:
    """Write summaries, by the name of the network, empty for those that were trained."""
    every = [own for found in summaries.values() for own in found.values()]
    known = [name for name in every[0] if any(own[name].number for own in every)]
    digits = pd.DataFrame(
        [
            {"network": network, "method": method, "unit": own["fidelity"].unit}
            | {name + end: cell for name in known for end, cell in _cells(own[name]).items()}
            for network, found in summaries.items()
            for method, own in found.items()
        ]
    )
    texts = {
        f"{network}: {group}" if network else group: pd.DataFrame(
            [
                [method, *(rounded(own[name]) for name in names if name in known)]
                for method, own in found.items()
            ],
            columns=["method", *(name.replace("_", " ") for name in names if name in known)],
        )
        for network, found in summaries.items()
        for group, names in GROUPS.items()
        if set(names) & set(known)
    }
    most = max((own["fidelity"] for own in every), key=lambda each: each.number)
    units = "networks" if most.unit == "networks" else f"classes; {UNTESTED}"
    note = _SUMMARY.format(f"{most.number} {units}")
    digits = digits if any(summaries) else digits.drop(columns="network")
    return write_all(stem, digits, title, note, texts)


def _paper_table(found: Intervals) -> str:
    r"""Arrange methods and headline scores as one tabular, the best mean of each score in bold."""
    known = [name for name in HEADLINES if any(own[name].number for own in found.values())]

    def worth(name: str, one: Interval) -> float:
        # Naturalness is a p-value, of real images 0.5 on average: above that none is better.
        return round(min(one.mean, 0.5) if name == "naturalness" else one.mean, 3)

    rows = {}
    for method, own in found.items():
        best = {
            n: max(worth(n, each[n]) for each in found.values() if each[n].number) for n in known
        }
        cells = [_paper_cell(own[name], worth(name, own[name]) == best[name]) for name in known]
        rows[escape_latex(method)] = cells
    table = pd.DataFrame.from_dict(rows, orient="index", columns=known).rename_axis("method")
    most = max((own["fidelity"] for own in found.values()), key=lambda each: each.number)
    shape = "l" + "r" * len(known)
    return (
        "% \\usepackage{booktabs} in the preamble. Mean and 95 % interval over "
        f"{most.number} {most.unit};\n% the best mean of each score in bold.\n"
        + table.reset_index().to_latex(index=False, escape=False, column_format=shape)
    )


def _paper_cell(found: Interval, best: bool) -> str:
    mean, bracket, ends = rounded(found).partition(" [")
    if not mean:
        return "--"
    mean = escape_latex(mean)
    mean = rf"\textbf{{{mean}}}" if best else mean
    return mean + (rf" {{\scriptsize {escape_latex(bracket.strip() + ends)}}}" if bracket else "")


def _cells(found: Interval) -> dict[str, Any]:
    parts = ("mean", "low", "high", "number")
    return {"": rounded(found), **{f"_{part}": getattr(found, part) for part in parts}}


def _write_pairs(stem: Path, run: Run) -> list[Path]:
    ends = ("score", "first", "second", "difference", "mean", "low", "high", "number", "unit")
    digits = pd.DataFrame(
        [
            (score, one.first, one.second, rounded(one.difference), *one.difference, *one[3:6])
            for score, found in run.pairs.items()
            for one in found
        ],
        columns=[*ends, "p", "p_holm", "effect"],
    )
    # Nothing is tested of few networks.
    tested = digits["p"].notna().any()
    columns = ["methods", "difference", "p (Holm)", "effect"][: 4 if tested else 2]
    texts = {
        score: pd.DataFrame(
            [[f"{one.first} − {one.second}", *written(one)][: len(columns)] for one in found],
            columns=columns,
        )
        for score, found in run.pairs.items()
    }
    note = _PAIRS if tested else _FEW
    return write_all(stem, digits, f"Pairs of methods of {run.name}", note, texts)


def write_all(
    stem: Path, digits: pd.DataFrame, title: str, note: str, texts: Mapping[str, pd.DataFrame]
) -> list[Path]:
    """Write a table as CSV, and what is to be read of it as Markdown and LaTeX.

    Args:
        stem: the files without their suffix.
        digits: all numbers in full.
        title: of the document.
        note: what its numbers are.
        texts: tables of text by their title; the first column says what a row is about.

    Raises:
        JaxbqError: a file cannot be written.
    """
    contents = {
        ".csv": digits.to_csv(index=False, lineterminator="\n"),
        ".md": to_markdown(title, note, texts),
        ".tex": to_latex(title, note, texts),
    }
    for suffix, content in contents.items():
        write_text(stem.with_suffix(suffix), content)
    return [stem.with_suffix(suffix) for suffix in contents]


def to_markdown(title: str, note: str, texts: Mapping[str, pd.DataFrame]) -> str:
    """Write tables of text as Markdown, every one under its title."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [f"# {escape_markdown(title)}", "", escape_markdown(note)]
    for name, table in texts.items():
        # pandas needs another package for Markdown.
        shown = table.map(escape_markdown)
        rule = ["---"] + ["---:"] * (len(table.columns) - 1)
        lines += ["", f"## {escape_markdown(name)}", ""]
        lines += [line(map(escape_markdown, table.columns)), line(rule)]
        lines += map(line, shown.itertuples(index=False, name=None))
    return "\n".join(lines) + "\n"


def to_latex(title: str, note: str, texts: Mapping[str, pd.DataFrame]) -> str:
    r"""Write tables of text for ``\input`` in LaTeX that has the package booktabs, no more."""
    lines = [
        r"% \usepackage{booktabs} in the preamble, then \input this file.",
        r"\begingroup\footnotesize\setlength{\tabcolsep}{4pt}\noindent",
        rf"\textbf{{{escape_latex(title)}}}. {escape_latex(note)}\par",
    ]
    for name, table in texts.items():
        shown = table.map(escape_latex).rename(columns=escape_latex)
        # The names in front are as long as a user made them: they are broken.
        shown.isetitem(0, r"\raggedright " + shown.iloc[:, 0].astype(str))
        shape = r"p{0.28\linewidth}" + "r" * (len(table.columns) - 1)
        for start in range(0, max(len(table), 1), _PAGE):
            heading = escape_latex(name + (", continued" if start else ""))
            part = shown.iloc[start : start + _PAGE]
            tabular = part.to_latex(index=False, escape=False, column_format=shape)
            lines += ["", rf"\medskip\noindent\textbf{{{heading}}}\par\nopagebreak"]
            lines += [rf"\noindent{tabular.rstrip()}\par"]
    return "\n".join([*lines, r"\endgroup"]) + "\n"


def escape_markdown(text: str) -> str:
    """Write text so that Markdown shows it as it is, in one line and one cell."""
    escaped = "".join(_MARKDOWN.get(character, character) for character in _one_line(text))
    return escaped.replace("](", "]\\(")  # no links; alone, brackets are brackets


def escape_latex(text: str) -> str:
    """Write text so that LaTeX shows it as it is; a character that it has no sign for as U+…."""
    return "".join(map(_tex, _MINUS.sub("−", _one_line(text))))


def _tex(character: str) -> str:
    if character in _TEX:
        return _TEX[character]
    if character in _TEX_MATH:
        return f"${_TEX_MATH[character]}$"
    if character in _GREEK:
        name = unicodedata.name(character).rpartition(" ")[2].replace("LAMDA", "LAMBDA")
        return rf"$\{name.capitalize() if character.isupper() else name.lower()}$"
    letter, accent = (*unicodedata.normalize("NFD", character), "", "")[:2]
    if character.isascii():
        return character
    if letter.isascii() and accent in _TEX_ACCENTS:
        return rf"\{_TEX_ACCENTS[accent]}{{{letter}}}"
    return rf"\texttt{{U+{ord(character):04X}}}"


def _one_line(text: str) -> str:
    """Turn line breaks and other control characters into spaces."""
    return "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in text)
