"""What the reference of the public API must know of jaxbq's docstrings; for griffe."""

import re
from typing import Any

import griffe


class Options(griffe.Extension):
    """Show options classes as the keyword-only dataclasses that they are, and roles as code."""

    def on_class_instance(self, *, cls: griffe.Class, **_: Any) -> None:
        """Say that ``@options`` makes a dataclass, before griffe looks for those."""
        for decorator in cls.decorators:
            if str(decorator.value) == "options":
                decorator.value = griffe.ExprCall(
                    griffe.ExprName("dataclasses.dataclass"),
                    [griffe.ExprKeyword("kw_only", "True")],
                )

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Turn ``:func:`~jaxbq.invert``` into plain code."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r":\w+:`~?(?:jaxbq\.)?([^`]+)`", r"`\1`", obj.docstring.value
            )
