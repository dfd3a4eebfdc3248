"""How the page writes numbers, columns and names: always the same way, so that bytes repeat."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...evaluation.statistics import Interval
from ..tables import rounded

UNKNOWN = "–"
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
CONTROL_NAMES = {
    "permuted_labels": "network trained on permuted labels",
    "random_weights": "network with random weights",
}
# Headings, and under each the columns of scores.csv with what they are called.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "Fidelity": {
        "fidelity": "fidelity",
        "right": "read as asked",
        "predicted": "the network reads",
        "target_probability": "probability of the class asked for",
        "largest_error": "largest output error",
        "mean_error": "mean output error",
        "divergence": "divergence from the target",
    },
    "Readability": {
        "readability": "readability",
        "judge_probability": "judges' mean probability",
        "dense_reads": "dense judge reads",
        "convolutional_reads": "convolutional judge reads",
        "given_reads": "given network reads",
        "judged": "the judge reads",
        "judged_right": "read as asked by the judge",
        "judged_probability": "the judge's probability",
        "template_right": "nearest class mean is the class asked for",
        "correlation_own": "correlation with the mean of the class",
        "correlation_other": "largest correlation with another mean",
        "other_class": "which other class",
    },
    "Naturalness": {
        "naturalness": "naturalness",
        "nearest": "distance to the nearest training image",
        "nearest_percentile": "… percentile",
        "nearest_index": "which training image",
        "nearest_label": "its class",
        "mahalanobis": "Mahalanobis distance",
        "mahalanobis_percentile": "… percentile",
        "components_residual": "outside the principal components",
        "components_residual_percentile": "… percentile",
        "autoencoder_residual": "outside the autoencoder",
        "autoencoder_residual_percentile": "… percentile",
        "ssim": "SSIM with the nearest training image",
        "ssim_percentile": "… percentile",
        "total_variation": "total variation",
        "total_variation_percentile": "… percentile",
        "high_frequency": "high-frequency energy",
        "high_frequency_percentile": "… percentile",
    },
    "Transfer": {
        "transfer": "transfer",
        "transfer_probability": "mean probability of the class",
    },
    "Image and search": {
        "reason": "why the method stopped",
        "iterations": "steps",
        "pixels_outside": "pixels out of range",
        "amount_outside": "how far the worst is out",
        "right_before": "read as asked before clipping",
        "largest_error_before": "largest error before clipping",
        "outside_before": "share out of range before clipping",
    },
}
# Columns that say which image; they are part of its title.
_IMAGE = ("network", "method", "target", "sample", "intended")
_CLASSES = ("predicted", "judged", "other_class", "nearest_label")
_YES_NO = ("right", "right_before", "template_right", "judged_right")


def shown_columns(columns: Sequence[str]) -> list[tuple[str, str, str]]:
    """Put the columns of scores.csv in the order of the page.

    Returns:
        Heading, column and what it is called; unknown columns come last, under their own names.
    """
    known = [
        (heading, name, label)
        for heading, group in COLUMNS.items()
        for name, label in group.items()
        if name in columns
    ]
    names = {name for _, name, _ in known}
    others = [name for name in columns if name not in names and name not in _IMAGE]
    return known + [("Other", name, name.replace("_", " ")) for name in others]


def cell(column: str, value: Any, class_names: Sequence[str], digits: int = 4) -> str:
    """Write a value of scores.csv for a reader, a number in so many significant digits."""
    if isinstance(value, str):
        return value.replace("_", " ") or UNKNOWN
    if math.isnan(value):
        return UNKNOWN
    if column in _CLASSES or column.endswith("_reads"):
        return class_word(value, class_names)
    if column in _YES_NO:
        return {1.0: "yes", 0.0: "no"}.get(float(value), plain(value, digits))
    return str(int(value)) if column.endswith("_index") else plain(value, digits)


def class_word(value: float, class_names: Sequence[str]) -> str:
    """Name a class that a table has by its index; − 1 is none."""
    index = -1 if math.isnan(value) else int(value)
    if index < 0:
        return UNKNOWN
    return class_names[index] if index < len(class_names) else str(index)


def network_name(name: str) -> str:
    """Say which network a name means."""
    if name.isdecimal():
        return f"network {name}"
    return CONTROL_NAMES.get(name, name.replace("_", " "))


def share(value: float) -> str:
    """Write a number from 0 to 1 with two digits."""
    return UNKNOWN if math.isnan(value) else _signed(f"{value:.2f}")


def percent(value: float) -> str:
    """Write a number from 0 to 100 without a fraction."""
    return UNKNOWN if math.isnan(value) else _signed(f"{value:.0f}")


def accuracy(value: float | None) -> str:
    """Write a share as percent with one digit."""
    return UNKNOWN if value is None or math.isnan(value) else f"{100 * value:.1f} %"


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


def _signed(text: str) -> str:
    """Write the minus sign as one, and no minus before a zero."""
    if text.startswith("-"):
        return text[1:] if not text.strip("-0.") else "−" + text[1:]
    return text


def flat_options(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Write nested options one a line, under dotted names."""
    members: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        members = list(value.items())
    elif isinstance(value, list | tuple) and any(
        isinstance(m, Mapping | list | tuple) for m in value
    ):
        members = list(enumerate(value))
    if not members and not isinstance(value, Mapping):
        yield path, _option(value)
    for key, member in members:
        yield from flat_options(member, f"{path}.{key}" if path else str(key))


def _option(value: Any) -> str:
    if value is None or value in ("", ()) or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(_option, value)) if isinstance(value, list | tuple) else str(value)
