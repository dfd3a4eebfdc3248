r"""The tables of a run: every method's scores with intervals, and all pairs of methods.

Each is written as CSV with all digits, as Markdown and as LaTeX that needs booktabs alone; numbers
are rounded to their uncertainty. :func:`to_html` is for the page.
"""

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import JaxbqError
from ..evaluation.statistics import Comparison, Interval
from ..experiment.finished import GROUPS, Intervals, Run
from ..runtime.files import make_folder, write_text

# Beyond these a number is written by powers of ten.
_LARGEST, _MOST_DECIMALS = 1e6, 6
# Decimals of a number that is not small; below it, powers of ten are shorter.
_SMALL, _FEW_DECIMALS = 0.01, 4
_PLAIN_DECIMALS = 3  # of a number without a known uncertainty
_PAGE = 40  # rows of a LaTeX tabular, which does not break over pages
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


def rounded(found: Interval) -> str:
    """Write a mean and its interval, like ``0.87 [0.81, 0.92]``, in as many digits as it is known.

    All three have the place of the last digit that half the interval's width has when it is written
    in two significant digits where its first is 1 or 2, else in one; but at most four decimals
    where a number is not small. A mean without an interval, or with one of no width, has three
    decimals. Empty where there is no mean.
    """
    if math.isnan(found.mean):
        return ""
    half = (found.high - found.low) / 2
    if not half > 0:
        small = 0 < abs(found.mean) < 0.5 * 10**-_PLAIN_DECIMALS
        if small or abs(found.mean) >= _LARGEST:
            return f"{found.mean:.{_PLAIN_DECIMALS - 1}e}"
        return f"{found.mean:z.{_PLAIN_DECIMALS}f}"
    first, power = f"{half:e}"[0], int(f"{half:e}".partition("e")[2])
    decimals = (1 if first in "12" else 0) - power
    largest = max(abs(found.low), abs(found.high))
    if largest >= _SMALL:
        decimals = min(decimals, _FEW_DECIMALS)
    powers = decimals > _MOST_DECIMALS or largest >= _LARGEST
    mean, low, high = (_written(value, decimals, powers) for value in found[:3])
    return f"{mean} [{low}, {high}]"


def _written(value: float, decimals: int, powers: bool) -> str:
    """Write a number down to a decimal place, which may be left of the point."""
    value = round(value, decimals)
    if not powers:
        return f"{value:z.{max(decimals, 0)}f}"
    if value == 0:
        return "0"
    return f"{value:.{max(0, math.floor(math.log10(abs(value))) + decimals)}e}"


def written_p(p: float) -> str:
    """Write a p-value with two to four decimals; empty for none."""
    if math.isnan(p):
        return ""
    return "<0.0001" if p < 1e-4 else f"{p:.{2 if p >= 0.1 else 3 if p >= 0.01 else 4}f}"


def written_effect(found: Comparison) -> str:
    """Write an effect size; empty where it is not known."""
    if math.isnan(found.effect):
        return ""
    if math.isinf(found.effect):
        return "∞" if found.effect > 0 else "-∞"
    return f"{found.effect:z.2f}"


def write_tables(run: Run) -> list[Path]:
    """Write the tables of a run: summary, controls where there are any, and pairs of methods.

    Returns:
        The files: CSV with all digits beside the rounded text, Markdown and LaTeX.

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
    return paths + _write_pairs(where / "pairs", run)


def _write_summaries(stem: Path, title: str, summaries: Mapping[str, Intervals]) -> list[Path]:
    """Write summaries, by the name of the network, empty for those that were trained."""
    every = [own for found in summaries.values() for own in found.values()]
    known = [name for name in every[0] if any(own[name].number for own in every)]
    digits = pd.DataFrame(
        [
            {"network": network, "method": method, "unit": own["fidelity"].unit}
            | {key: value for name in known for key, value in _cells(name, own[name]).items()}
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
    note = (
        f"Mean and 95 % interval over {most.number} "
        f"{'networks' if most.unit == 'networks' else 'classes of one network'}, the best image of "
        "each target. Percentiles are among real test images; seconds and operations are of all "
        "images of a network."
    )
    digits = digits if any(summaries) else digits.drop(columns="network")
    return write_all(stem, digits, title, note, texts)


def _cells(name: str, found: Interval) -> dict[str, Any]:
    ends = {f"{name}_{part}": getattr(found, part) for part in ("mean", "low", "high", "number")}
    return {name: rounded(found)} | ends


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
    texts = {
        score: pd.DataFrame(
            {
                "methods": [f"{one.first} − {one.second}" for one in found],
                "difference": [rounded(one.difference) for one in found],
                "p (Holm)": [written_p(one.p_holm) for one in found],
                "effect": [written_effect(one) for one in found],
            }
        )
        for score, found in run.pairs.items()
    }
    return write_all(stem, digits, f"Pairs of methods of {run.name}", _PAIRS, texts)


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


def to_html(table: pd.DataFrame, caption: str, *, shared: bool = False) -> str:
    """Write a table of text as HTML, its first column as the headings of rows.

    Args:
        table: of text.
        caption: what it shows.
        shared: whether rows of the same heading that follow each other share it.
    """
    first = table.columns[0]
    text = table.map(str).to_html(index=False, border=0, classes="facts", justify="unset")
    text = re.sub(r"<tr[^>]*>\s*", "<tr>", text)
    heads = list(table[first].map(str))
    rows = iter(range(len(table)))

    def heading(found: re.Match) -> str:
        row = next(rows)
        if shared and row and heads[row] == heads[row - 1]:
            return "<tr>"
        others = (n for n in range(row, len(heads)) if heads[n] != heads[row])
        same = next(others, len(heads)) - row if shared else 1
        span = f' rowspan="{same}"' if same > 1 else ""
        return f'<tr><th scope="row{"group" if same > 1 else ""}"{span}>{found[1]}</th>'

    text = re.sub(r"<tr><td>(.*?)</td>", heading, text, flags=re.DOTALL)
    text = text.replace("<th>", '<th scope="col">')
    return text.replace("<thead>", f"<caption>{html.escape(caption)}</caption><thead>", 1)


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
