"""The columns of scores.csv: what they are called on the page, and how their cells are written."""

from collections.abc import Sequence

from .numbers import UNKNOWN, plain

GROUPS: dict[str, dict[str, str]] = {
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
"""Headings, and under each the columns with what they are called."""

IMAGE = ("network", "method", "target", "sample", "intended")
"""Columns that say which image; they are part of its title."""

_CLASSES = (
    "predicted",
    "dense_reads",
    "convolutional_reads",
    "given_reads",
    "judged",
    "other_class",
    "nearest_label",
)
_YES_NO = ("right", "right_before", "template_right", "judged_right")


def shown_columns(columns: Sequence[str]) -> list[tuple[str, str, str]]:
    """Put the columns of a table in the order of the page.

    Returns:
        Heading, column and what it is called; unknown columns come last, under their own names.
    """
    known = [
        (heading, name, label)
        for heading, group in GROUPS.items()
        for name, label in group.items()
        if name in columns
    ]
    names = [name for _, name, _ in known]
    others = [name for name in columns if name not in names and name not in IMAGE]
    return known + [("Other", name, name.replace("_", " ")) for name in others]


def cell(column: str, text: str, class_names: Sequence[str], digits: int = 4) -> str:
    """Write a cell of the table for a reader, a number in so many significant digits."""
    if not text:
        return UNKNOWN
    if column in _CLASSES:
        return class_word(text, class_names)
    if column in _YES_NO:
        return {"True": "yes", "1.0": "yes", "False": "no", "0.0": "no"}.get(text, text)
    try:
        value = float(text)
    except ValueError:
        return text.replace("_", " ") if column == "reason" else text
    if column.endswith(("_index", "_label")):
        return str(int(value))
    return plain(value, digits)


def class_word(text: str, class_names: Sequence[str]) -> str:
    """Name a class that a table has by its index; − 1 is none."""
    try:
        index = int(float(text))
    except (ValueError, OverflowError):
        return text
    if index < 0:
        return UNKNOWN
    if index >= len(class_names):
        return str(index)
    return class_names[index]
