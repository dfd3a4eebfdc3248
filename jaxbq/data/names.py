"""Names of classes and files as strangers give them: their order, and what may be shown."""

import re
from collections.abc import Sequence

from ..errors import JaxbqError

MOST_CLASSES = 4096  # codes are classes × classes; no data set of digits or letters is near
_LONGEST = 100  # characters; a figure has a line of some ten for a name


def natural(name: str) -> tuple[list[str | int], str]:
    """Order names as people do, "10" after "9"; what is alike then, as plain text."""
    # Text and numbers alternate, text first, so that like is compared with like.
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], name


def shown(path: object) -> str:
    """Write a path or a name in one line: what cannot be printed as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def brief(name: object) -> str:
    """Write a name likewise, and cut a long one."""
    text = str(name)
    return shown(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def listed(names: Sequence[str]) -> str:
    """List names in one line, the first of them where they are many."""
    return ", ".join(map(brief, names[:12])) + (", …" if len(names) > 12 else "")


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Check that names can stand in tables and figures, each for one class.

    Raises:
        JaxbqError: a name is empty, too long, there twice, or holds a character that cannot be
            printed (a line break, say); or there are too many.
    """
    if len(names) > MOST_CLASSES:
        raise JaxbqError(f"{len(names):,} classes are more than jaxbq takes ({MOST_CLASSES:,})")
    for name in names:
        if not name or len(name) > _LONGEST:
            raise JaxbqError(f"class '{brief(name)}': a name has 1 to {_LONGEST} characters")
        if not name.isprintable():
            raise JaxbqError(
                f"class '{brief(name)}': its name holds a character that cannot be printed; "
                "rename it"
            )
    if len(set(names)) < len(names):
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise JaxbqError(f"class {twice!r} is named twice")
    return tuple(names)
