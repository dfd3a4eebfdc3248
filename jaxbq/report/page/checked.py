"""Files of a run folder that may be missing, read so that a damaged one is told in one line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import JaxbqError
from ...experiment import RunFolder
from ...experiment.folder import read_csv

Row = dict[str, str]


def damaged(path: Path, why: object) -> JaxbqError:
    """Make the error of a file that is not as it was written."""
    return JaxbqError(f"{path}: damaged ({why}); delete it and run again")


def read_table(path: Path, needed: Sequence[str]) -> list[Row]:
    """Read a CSV file with these columns; nothing where there is none.

    Raises:
        JaxbqError: it lacks one, or a row is damaged.
    """
    if not path.exists():
        return []
    rows = read_csv(path)
    for row in rows:
        if None in row or None in row.values():
            raise damaged(path, "a row is longer or shorter than the first")
        if any(name not in row for name in needed):
            raise damaged(path, f"it has no column {needed[0]!r}")
    return rows


def read_mapping(folder: RunFolder, name: str) -> dict[str, Any]:
    """Read a JSON file that holds a table; an empty one where there is no file.

    Raises:
        JaxbqError: it holds something else.
    """
    content = folder.read_json(name)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise damaged(folder.path / name, "it holds no table")
    return content


def read_records(folder: RunFolder, name: str, needed: Sequence[str]) -> list[dict[str, Any]]:
    """Read a JSON file that holds a list of tables with these keys; nothing where there is none.

    Raises:
        JaxbqError: it holds something else.
    """
    content = folder.read_json(name)
    if content is None:
        return []
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise damaged(folder.path / name, "it holds no list of tables")
    for key in needed:
        if any(key not in each for each in content):
            raise damaged(folder.path / name, f"an entry has no {key!r}")
    return content


def number(row: Mapping[str, str], column: str, path: Path) -> float:
    """Read a cell as a number; NaN where it is empty or there is no such column.

    Raises:
        JaxbqError: it is none.
    """
    text = row.get(column) or ""
    if text in ("True", "False"):
        return float(text == "True")
    try:
        return float(text) if text else float("nan")
    except ValueError as fault:
        raise damaged(path, fault) from None
