r"""Tables as files: numbers rounded to their uncertainty; Markdown, and LaTeX by booktabs alone."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..evaluation.statistics import Comparison, Interval
from ..runtime.files import write_text

# Beyond these a number is written by powers of ten.
_LARGEST, _MOST_DECIMALS = 1e6, 6
# Decimals of a number that is not small; below it, powers of ten are shorter.
_SMALL, _FEW_DECIMALS = 0.01, 4
_PLAIN_DECIMALS = 3  # of a number without a known uncertainty
_PAGE = 40  # rows of a LaTeX tabular, which does not break over pages
_TEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # In LaTeX's old default encoding these are other characters.
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # After a line's end a bracket or a star would be an argument of it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "-": "-{}",  # no dashes out of two hyphens
    "…": r"\dots{}",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "ø": r"\o{}",
    "œ": r"\oe{}",
    "ł": r"\l{}",
}
# Of numbers; a hyphen in a name stays one.
_MINUS = re.compile(r"(?:(?<![^\s\[(=,])|(?<=\de))-(?=[\d.∞])")
_TEX_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327", "`'^~\"rvc", strict=True)
)
_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"


def _greek(letter: str) -> str:
    """Name a Greek letter as TeX does, a capital with a capital."""
    name = unicodedata.name(letter).rpartition(" ")[2].replace("LAMDA", "LAMBDA")
    return rf"\{name.capitalize() if letter.isupper() else name.lower()}"


_TEX_MATH = {
    **{letter: _greek(letter) for letter in _GREEK},
    "±": r"\pm",
    "−": "-",
    "×": r"\times",
    "÷": r"\div",
    "·": r"\cdot",
    "≤": r"\leq",
    "≥": r"\geq",
    "≠": r"\neq",
    "≈": r"\approx",
    "∞": r"\infty",
    "→": r"\to",
    "←": r"\leftarrow",
    "√": r"\surd",
    "∇": r"\nabla",
    "∂": r"\partial",
    "‖": r"\|",
    "°": r"^\circ",
    "µ": r"\mu",
    "ϕ": r"\phi",
    "ϵ": r"\epsilon",
    **{character: f"^{digit}" for digit, character in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{character: f"_{digit}" for digit, character in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}
_MARKDOWN = {
    **{sign: f"\\{sign}" for sign in "\\`*_|~"},
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
}


class Block(NamedTuple):
    """One table.

    Args:
        title: what it shows.
        columns: their names; the first is of what a row is about.
        rows: cells, as plain text.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


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


def write_markdown(path: Path, title: str, note: str, blocks: Iterable[Block]) -> Path:
    """Write tables as Markdown, every one under its title.

    Raises:
        JaxbqError: the file cannot be written.
    """
    lines = [f"# {escape_markdown(title)}", "", escape_markdown(note)]
    for block in blocks:
        rule = ["---"] + ["---:"] * (len(block.columns) - 1)
        lines += ["", f"## {escape_markdown(block.title)}", ""]
        lines += [_line([escape_markdown(cell) for cell in block.columns]), _line(rule)]
        lines += [_line([escape_markdown(cell) for cell in row]) for row in block.rows]
    write_text(path, "\n".join(lines) + "\n")
    return path


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_latex(path: Path, title: str, note: str, blocks: Iterable[Block]) -> Path:
    r"""Write tables for ``\input`` in a LaTeX document that has the package booktabs, no more.

    Raises:
        JaxbqError: the file cannot be written.
    """
    lines = [r"% \usepackage{booktabs} in the preamble, then \input this file."]
    lines += [r"\begingroup\footnotesize\setlength{\tabcolsep}{4pt}\noindent"]
    lines += [rf"\textbf{{{escape_latex(title)}}}. {escape_latex(note)}\par"]
    for block in blocks:
        for start in range(0, max(len(block.rows), 1), _PAGE):
            more = ", continued" if start else ""
            lines += [
                "",
                rf"\medskip\noindent\textbf{{{escape_latex(block.title + more)}}}\par\nopagebreak",
            ]
            lines += _tabular(block.columns, block.rows[start : start + _PAGE])
    write_text(path, "\n".join([*lines, r"\endgroup"]) + "\n")
    return path


def _tabular(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    # The names in front are as long as a user made them: they are broken.
    shape = r"p{0.28\linewidth}" + "r" * (len(columns) - 1)
    head = " & ".join(map(escape_latex, columns))
    lines = [rf"\noindent\begin{{tabular}}{{{shape}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    for first, *others in rows:
        cells = [rf"\raggedright {escape_latex(first)}", *map(escape_latex, others)]
        lines.append(rf"{' & '.join(cells)} \\")
    return [*lines, r"\bottomrule", r"\end{tabular}\par"]


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
    letter, accent = (*unicodedata.normalize("NFD", character), "", "")[:2]
    if character.isascii():
        return character
    if letter.isascii() and accent in _TEX_ACCENTS:
        return rf"\{_TEX_ACCENTS[accent]}{{{letter}}}"
    return rf"\texttt{{U+{ord(character):04X}}}"


def _one_line(text: str) -> str:
    """Turn line breaks and other control characters into spaces."""
    return "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in text)


def write_documents(stem: Path, title: str, note: str, blocks: Sequence[Block]) -> list[Path]:
    """Write tables as Markdown and LaTeX.

    Raises:
        JaxbqError: a file cannot be written.
    """
    return [
        write_markdown(stem.with_suffix(".md"), title, note, blocks),
        write_latex(stem.with_suffix(".tex"), title, note, blocks),
    ]
