"""How numbers and options are written, in tables and on the page: always the same way."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..evaluation.statistics import FEWEST_NETWORKS, Comparison, Interval

UNKNOWN = "–"
# Beyond these a number is written by powers of ten.
_LARGEST, _MOST_DECIMALS = 1e6, 6
# Decimals of a number that is not small; below it, powers of ten are shorter.
_SMALL, _FEW_DECIMALS = 0.01, 4
_PLAIN_DECIMALS = 3  # of a number without a known uncertainty
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))

UNTESTED = f"fewer than {FEWEST_NETWORKS} networks say little of others, so nothing is tested"
"""Why there are no p-values."""


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


def written(found: Comparison) -> tuple[str, str, str]:
    """Write the difference, p-value and effect size of a comparison; empty what is not known."""
    effect = "" if math.isnan(found.effect) else f"{found.effect:z.2f}".replace("inf", "∞")
    return rounded(found.difference), written_p(found.p_holm), effect


def share(value: float) -> str:
    """Write a number from 0 to 1 with two digits."""
    return UNKNOWN if math.isnan(value) else _signed(f"{value:z.2f}")


def percent(value: float) -> str:
    """Write a number from 0 to 100 without a fraction."""
    return UNKNOWN if math.isnan(value) else _signed(f"{value:z.0f}")


def accuracy(value: float | None) -> str:
    """Write a share as percent with one digit."""
    value = _known(value)
    return UNKNOWN if math.isnan(value) else f"{100 * value:.1f} %"


def plain(value: float | None, digits: int = 3) -> str:
    """Write any number with so many significant digits, large ones in full."""
    value = _known(value)
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15:
        return _signed(f"{int(value):,}")
    if abs(value) >= 10**digits:
        return _signed(f"{value:,.0f}")
    text = f"{value:.{digits}g}"
    # What is rounded to a whole number says that it was none: 1.00.
    return _signed(text if "." in text or "e" in text else f"{value:#.{digits}g}".rstrip("."))


def count(value: float) -> str:
    """Write a large count with a prefix: 1.2 M."""
    for size, prefix in _PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return plain(value)


def estimate(found: Interval) -> tuple[str, str]:
    """Write a mean and, in brackets, its interval, as the tables do; empty where there is none."""
    mean, bracket, ends = rounded(found).replace("-", "−").partition(" [")
    return mean or UNKNOWN, (bracket + ends).strip()


def plural(number: int, one: str) -> str:
    """Write a count of things: 1 network, 2 networks."""
    return f"{number:,} {one if number == 1 else one + 's'}"


def listed(words: Sequence[str]) -> str:
    """Join words: a, b and c."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1] if words else "")))


def _known(value: float | None) -> float:
    """Read a number of a file, NaN where there is none; a ValueError for what is no number."""
    return math.nan if value is None else float(value)


def _signed(text: str) -> str:
    """Write the minus sign as one."""
    return "−" + text[1:] if text.startswith("-") else text


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested options to dotted names; lists of tables or lists by number, others whole."""
    members: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        members = value.items()
    elif isinstance(value, list | tuple) and any(
        isinstance(member, Mapping | list | tuple) for member in value
    ):
        members = enumerate(value)
    else:
        return {path: value}
    found: dict[str, Any] = {}
    for key, member in members:
        found |= flat(member, f"{path}.{key}" if path else str(key))
    return found
