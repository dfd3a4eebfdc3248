"""From a run folder to its page: one file that needs no other and asks nobody."""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from ...experiment import RunFolder
from ...runtime.files import make_folder, write_text
from .chart import Estimates, band, plane, ring, strip
from .classes import class_views
from .controls import controls
from .facts import facts
from .lines import HEIGHT, WIDTH
from .methods import method_views
from .numbers import percent
from .pairs import LEVEL, squares
from .pictures import BLANK
from .reading import Run, read_run
from .shots import Shots
from .summary import summary

_WIDE, _NARROW = (660, 600), (340, 420)


def write_page(folder: RunFolder) -> Path:
    """Write ``report/index.html`` of a run folder.

    It is made of files in the folder alone, and the same files give the same bytes. It is one file
    that opens without a network, and whatever a user named is shown as text.

    Args:
        folder: of a finished run.

    Returns:
        The page.

    Raises:
        JaxbqError: the folder lacks networks, images or scores, a file is damaged, or the page
            cannot be written.
    """
    text = render(folder)
    path = make_folder(folder.path / "report") / "index.html"
    write_text(path, text)
    return path


def render(folder: RunFolder) -> str:
    """Make the text of the page; see :func:`write_page`."""
    run = read_run(folder)
    shots = Shots(run)
    found = summary(run)
    first = run.trained[0]
    # In the order of what is kept where there is no room for all images.
    grid = [
        [shots.shot(first, n, target) for target in range(len(shots.titles))]
        for n in range(len(run.methods))
    ]
    classes, held = class_views(shots), controls(shots)
    methods = method_views(shots)
    script = _file("script.js")
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            facts=facts(run),
            run=run,
            titles=shots.titles,
            grid=grid,
            summary=found,
            **_chart(run, found.estimates),
            squares=squares(run),
            level=LEVEL,
            controls=held,
            methods=methods,
            classes=classes,
            drawing=(WIDTH, HEIGHT),
            blank=BLANK,
            ratio=shots.pictures.ratio,
            rules=list(shots.pictures.rules()),
            style=_file("style.css"),
            script=script,
            script_hash=_hash(script),
            data=inline_json(shots.data()),
        )
    )


def _chart(run: Run, estimates: Sequence[Estimates]) -> dict[str, Any]:
    """Lay the chart out, for a wide screen and for a narrow one, and the list beside it."""
    natural = list(run.real.get("naturalness", ()))
    sizes = (("wide", _WIDE), ("narrow", _NARROW)) if estimates else ()
    return {
        "planes": [plane(name, estimates, *size) for name, size in sizes],
        "rings": {each.number: ring(each.naturalness.mean / 100) for each in estimates},
        "strips": {each.number: strip(each.naturalness) for each in estimates},
        "band": band(natural),
        "natural": [percent(value) for value in natural],
        "examples": [ring(filled) for filled in (0.0, 0.5, 1.0)],
    }


def inline_json(value: Any) -> str:
    """Write plain data so that no text in it can end the element that holds it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    """Name a script as a content security policy does, which lets no other run."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    names = [
        entry.name for entry in resources.files(__package__).iterdir() if entry.name.endswith(".j2")
    ]
    return jinja2.Environment(
        loader=jinja2.DictLoader({name: _file(name) for name in names}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
