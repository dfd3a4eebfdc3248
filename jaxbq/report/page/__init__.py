"""The page of a run: one HTML file that needs no other and asks nobody."""

import base64
import hashlib
from importlib import resources
from pathlib import Path

import jinja2

from ...experiment.finished import Run
from ...runtime.files import make_folder, write_text
from ..images import proportion
from .gallery import BLANK, PageImages
from .sections import certificates, class_sections, controls, method_sections
from .view import LEVEL, chart, differences, first_rows, head, summary, timing


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
    images, found = PageImages(run), summary(run)
    # In the order of what is kept where there is no room for all images.
    grid = [images.row(name, run.trained[0], n) for n, name in enumerate(run.methods)]
    classes, held = class_sections(images), controls(images, found)
    proven, methods = certificates(images), method_sections(images)
    script = _file("script.js")
    # A content security policy names the script by this, and lets no other run.
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return (
        environment()
        .get_template("index.html.j2")
        .render(
            head=head(run),
            timing=timing(run),
            run=run,
            titles=run.titles,
            grid=grid,
            first=first_rows(run),
            summary=found,
            chart=chart(run),
            differences=differences(run),
            level=LEVEL,
            controls=held,
            certificates=proven,
            methods=methods,
            classes=classes,
            ratio=proportion(run.space),
            rules=list(images.pictures.rules()),
            style=_file("style.css"),
            script=script,
            script_hash=f"sha256-{base64.b64encode(digest).decode('ascii')}",
            data=images.data(),
            play=(run.folder.report.parent / "play.html").exists(),
        )
    )


def environment() -> jinja2.Environment:
    """Make what renders the templates of this folder: all but their own text is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    made.globals["blank"] = BLANK
    return made


def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")
