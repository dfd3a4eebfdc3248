"""The page of a run: one HTML file that needs no other and asks nobody."""

import base64
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from ...experiment.finished import Run
from ...runtime.files import make_folder, write_text
from .images import BLANK, PageImages
from .sections import class_sections, controls, method_sections
from .view import LEVEL, chart, differences, head, summary


def write_page(run: Run) -> Path:
    """Write ``report/index.html`` of a run folder.

    It is made of files in the folder alone, and the same files give the same bytes. It is one file
    that opens without a network, and whatever a user named is shown as text.

    Args:
        run: that is finished.

    Returns:
        The page.

    Raises:
        JaxbqError: the folder lacks networks, images or scores, a file is damaged, or the page
            cannot be written.
    """
    text = render(run)
    path = make_folder(run.folder.report.parent) / run.folder.report.name
    write_text(path, text)
    return path


def render(run: Run) -> str:
    """Make the text of the page; see :func:`write_page`."""
    images = PageImages(run)
    # In the order of what is kept where there is no room for all images.
    grid = [images.row(name, run.trained[0], n) for n, name in enumerate(run.methods)]
    classes, held = class_sections(images), controls(images)
    methods = method_sections(images)
    script = _file("script.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_file("index.html.j2")).render(
        head=head(run),
        run=run,
        titles=run.titles,
        grid=grid,
        summary=summary(run),
        chart=chart(run),
        differences=differences(run),
        level=LEVEL,
        controls=held,
        methods=methods,
        classes=classes,
        blank=BLANK,
        ratio=images.pictures.ratio,
        rules=list(images.pictures.rules()),
        style=_file("style.css"),
        script=script,
        script_hash=_hash(script),
        data=inline_json(images.data()),
        play=(run.folder.report.parent / "play.html").exists(),
    )


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
