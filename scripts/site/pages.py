"""Pages of the documentation that are made: config and command reference, the tutorial's notebook.

`make docs` calls it; what it writes is not kept in the repository.
"""

import argparse
import dataclasses
import functools
import inspect
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import griffe

from jaxbq.cli import _parser
from jaxbq.experiment import Experiment

DOCS = Path(__file__).parents[2] / "docs"
_PLAIN = {float: "number", int: "whole number", bool: "true or false", str: "text"}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```\n", re.M | re.S)


def notebook(page: str) -> str:
    """Make a notebook of a page: its prose, its Python, its commands. What these print is left out.

    Returns:
        JSON in the notebook format 4.
    """
    cells, end = [], 0
    for block in _BLOCK.finditer(page):
        cells += _cell("markdown", page[end : block.start()])
        language, code = block.groups()
        if language in ("python", "sh"):
            mark = "!" if language == "sh" else ""
            cells += _cell("code", "".join(mark + line for line in code.splitlines(keepends=True)))
        elif language != "text":
            cells += _cell("markdown", block.group())
        end = block.end()
    cells += _cell("markdown", page[end:])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    made = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, text: str) -> list[dict[str, Any]]:
    # Pictures and pages lie beside the page, not beside the notebook.
    text = re.sub(r"!\[([^]]*)\]\([^)]*\)", r"*(\1)*", text)
    text = re.sub(r"\[([^]]*)\]\((?!http)[^)]*\)", r"\1", text).strip()
    more = {"execution_count": None, "outputs": []} if kind == "code" else {}
    made = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True), **more}
    return [made] if text else []


def command_reference() -> str:
    """Show the help of every command."""
    parser = _parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for command in commands.choices.values():
        command.formatter_class = functools.partial(argparse.HelpFormatter, width=86)
    parts = ["# Commands\n\nMade from the commands' own `--help`.\n"]
    parts += [
        f"## jaxbq {name}\n\n```text\n{command.format_help()}```\n"
        for name, command in commands.choices.items()
    ]
    return "\n".join(parts)


def config_reference() -> str:
    """List every option of a config: type, default, meaning, from the options classes."""
    parts = [
        "# Config reference\n\nEvery option, made from the code. "
        "[Write a config](../configs.md) shows them in one example.\n"
    ]
    return "\n".join([*parts, *map(_section, options_classes(Experiment))])


def options_classes(root: type) -> list[type]:
    """Gather an options class and all that its fields can hold, in the order of the fields."""
    found = [root]
    for cls in found:
        found += [c for c in dict.fromkeys(_classes_in_fields(cls)) if c not in found]
    return found


def _classes_in_fields(cls: type) -> Iterator[type]:
    hints = get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        yield from _classes(hints[field.name])


def _classes(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and hasattr(hint, "__pydantic_config__"):
        yield hint
    for member in get_args(hint):
        yield from _classes(member)


def _section(cls: Any) -> str:
    hints = get_type_hints(cls, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    name = next((n for n in ("kind", "rule") if n in fields), None)
    value = fields[name].default if name else None
    title = f'{cls.__name__}: `{name} = "{value}"`' if isinstance(value, str) else cls.__name__
    summary, meanings = described(cls)
    rows = [
        f"| `{field.name}` | {_say_type(hints[field.name])} | {_say_default(field)} "
        f"| {meanings.get(field.name, '')} |"
        for field in fields.values()
        if field.name != name
    ]
    table = ["| key | value | default | meaning |", "|---|---|---|---|", *rows] if rows else []
    return "\n".join([f"## {title} {{ #{cls.__name__.lower()} }}\n", summary, "", *table, ""])


def described(cls: Any) -> tuple[str, dict[str, str]]:
    """Read the first paragraph of a class's docstring, and what it says of each field.

    What it does not say itself, the class that it inherits the field from does.
    """
    summary, meanings = "", {}
    for each in reversed([c for c in cls.__mro__ if c.__module__.startswith("jaxbq")]):
        text = re.sub(r":\w+:`~?(?:jaxbq\.)?([^`]+)`", r"`\1`", inspect.getdoc(each) or "")
        for part in griffe.parse(griffe.Docstring(text), "google", warnings=False):
            if part.kind is griffe.DocstringSectionKind.parameters:
                meanings |= {p.name: _one_line(p.description) for p in part.value}
        summary = text.split("\n\n")[0]
    return summary, meanings


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _say_type(hint: Any) -> str:
    origin, members = get_origin(hint), get_args(hint)
    said = _PLAIN.get(hint, "value") if isinstance(hint, type) else "value"
    if origin is Annotated:
        bounds = _bounds(members[1:])
        said = _say_type(members[0]) + (f" ({', '.join(bounds)})" if bounds else "")
    elif origin is Literal:
        said = ", ".join(f"`{json.dumps(value)}`" for value in members)
    elif origin in (Union, types.UnionType):
        said = ", ".join(dict.fromkeys(_say_type(m) for m in members if m is not type(None)))
    elif origin is tuple and Ellipsis in members:
        said = f"list of {_say_type(members[0])}"
    elif origin is tuple:
        said = "[" + ", ".join(map(_say_type, members)) + "]"
    elif hasattr(hint, "__pydantic_config__"):
        said = f"[{hint.__name__}](#{hint.__name__.lower()})"
    return said


def _bounds(metadata: tuple[Any, ...]) -> list[str]:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    return [
        f"{sign} {getattr(each, name)}"
        for each in metadata
        for name, sign in signs.items()
        if getattr(each, name, None) is not None
    ]


def _say_default(field: Any) -> str:
    value = field.default
    if value is dataclasses.MISSING:
        return "must be given"
    if value is None:
        return "none"
    if dataclasses.is_dataclass(value):
        return f"[{type(value).__name__}](#{type(value).__name__.lower()})"
    if isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value)):
        return ", ".join(f"`{type(each).__name__}`" for each in value)
    return f"`{json.dumps(value)}`"


MADE = {
    "reference/config.md": config_reference,
    "reference/commands.md": command_reference,
    "tutorial.ipynb": lambda: notebook((DOCS / "tutorial.md").read_text()),
}

if __name__ == "__main__":
    for place, make in MADE.items():
        (DOCS / place).write_text(make())
