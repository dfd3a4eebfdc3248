"""How the page writes numbers: always the same way, so that the same files give the same bytes."""

import math
from functools import partial
from typing import Any

UNKNOWN = "–"
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def share(value: float) -> str:
    """Write a number from 0 to 1 with two digits."""
    return UNKNOWN if math.isnan(value) else _signed(f"{value:.2f}")


def percent(value: float) -> str:
    """Write a number from 0 to 100 without a fraction."""
    return UNKNOWN if math.isnan(value) else _signed(f"{value:.0f}")


def accuracy(value: float) -> str:
    """Write a share as percent with one digit."""
    return UNKNOWN if math.isnan(value) else f"{100 * value:.1f} %"


def plain(value: float, digits: int = 3) -> str:
    """Write any number with so many significant digits, large ones in full."""
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


def estimate(mean: float, low: float, high: float, fewest: int, most: int) -> tuple[str, str]:
    """Write a mean and its interval in as many decimals as it is known to, within bounds.

    They are those of half the interval in two significant digits where its first is 1 or 2, else
    in one, as in the tables of the run.

    Args:
        mean: the number.
        low: lower end of its interval; NaN where there is none.
        high: upper end.
        fewest: decimals, also of a mean without an interval.
        most: decimals.

    Returns:
        The mean, and the interval in brackets; empty where there is none.
    """
    if math.isnan(mean):
        return UNKNOWN, ""
    half, decimals = (high - low) / 2, fewest
    if half > 0:
        digits, _, power = f"{half:e}".partition("e")
        decimals = min(max((digits[0] in "12") - int(power), fewest), most)
    write = partial(_fixed, decimals=decimals)
    return write(mean), between(low, high, write) if half > 0 else ""


def _fixed(value: float, decimals: int) -> str:
    return _signed(f"{value:.{decimals}f}")


def between(low: float, high: float, write: Any = share) -> str:
    """Write the ends of an interval; nothing where there is none."""
    return "" if math.isnan(low) or math.isnan(high) else f"[{write(low)}, {write(high)}]"


def plural(number: int, one: str, many: str = "") -> str:
    """Write a count of things: 1 network, 2 networks."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """Join words: a, b and c."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1] if words else "")))


def coordinate(value: float) -> str:
    """Write a coordinate of a drawing, with no more digits than can be seen."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _signed(text: str) -> str:
    """Write the minus sign as one, and no minus before a zero."""
    if text.startswith("-"):
        return text[1:] if not text.strip("-0.") else "−" + text[1:]
    return text
