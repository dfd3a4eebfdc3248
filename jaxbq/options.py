"""Options: frozen dataclasses that are at once a config section, a hashable key and a JAX pytree.

Every choice that a user can make is a field of a class decorated with :func:`options`, with its
default there and nowhere else. Fields holding floats are leaves of the pytree, so a compiled
program takes them as arguments: another learning rate compiles nothing, and `jax.vmap` over a
batch of options is a sweep. All other fields are part of the program's identity.

pydantic checks values and types, at the boundary only: :func:`validate` for data from a config,
:func:`check` for an object made in Python.
"""

import dataclasses
import difflib
import functools
import json
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import jax
import pydantic

from .errors import JaxbqError

T = TypeVar("T")


def defaulting_to(default: Any) -> pydantic.BeforeValidator:
    """Read a table of options as changes to ``default``, which stays as it is for other keys.

    Another ``name`` starts anew: options of one optimiser mean nothing to another.
    """

    def fill(value: Any) -> Any:
        given = {"name": value} if isinstance(value, str) else _tuples(value)
        if not isinstance(given, Mapping):
            return given
        known = dataclasses.asdict(default)
        if "name" in given and given["name"] != known.get("name"):
            return given
        return {**known, **given}

    return pydantic.BeforeValidator(fill)


def shorthand(expand: Callable[[Any], Any]) -> pydantic.BeforeValidator:
    """Read data as what ``expand`` makes of them; it may raise a ValueError with a message."""
    return pydantic.BeforeValidator(lambda value: _tuples(expand(value)))


def _pairs(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, value[key]) for key in sorted(value))
    return _tuples(value)


def _fixed_pairs(value: Any) -> Any:
    return _pairs(value)


def _tuples(value: Any) -> Any:
    # pydantic hands a validator Python lists, and then, being strict, takes none for a tuple.
    if isinstance(value, Mapping):
        return {key: _tuples(member) for key, member in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


# Which member of a union a table means is said by its `kind`; a bare string is short for it.
BY_KIND = pydantic.Discriminator("kind")
KIND_SHORTHAND = pydantic.BeforeValidator(
    lambda v: {"kind": v} if isinstance(v, str) else _tuples(v)
)
# TOML has no null: a variant of an experiment says "none" to leave out what the others have.
NONE_SHORTHAND = pydantic.BeforeValidator(lambda v: None if v == "none" else v)
# Keyword arguments as a table in TOML, as sorted pairs in a hashable field.
PAIRS = pydantic.BeforeValidator(_pairs)
# The same for a function that asks for the values of its floats: they are no leaves.
FIXED_PAIRS = pydantic.BeforeValidator(_fixed_pairs)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def options(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only dataclass and register it as a JAX pytree."""
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    cls.__pydantic_config__ = {  # type: ignore[attr-defined]
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }
    hints = get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    leaves = tuple(name for name in names if _holds_floats(hints[name]))
    pairs = tuple(name for name in names if PAIRS in getattr(hints[name], "__metadata__", ()))
    rest = tuple(name for name in names if name not in leaves + pairs)

    def flatten(self: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        split = [_split(getattr(self, name)) for name in pairs]
        children = (*(getattr(self, n) for n in leaves), *(floats for floats, _ in split))
        return children, (*(getattr(self, n) for n in rest), *(other for _, other in split))

    def unflatten(aux: tuple[Any, ...], children: Sequence[Any]) -> T:
        # Not through __init__: while tracing, a float field holds a tracer.
        self = object.__new__(cls)
        for name, value in zip((*leaves, *rest), (*children[: len(leaves)], *aux), strict=False):
            object.__setattr__(self, name, value)
        both = zip(pairs, children[len(leaves) :], aux[len(rest) :], strict=True)
        for name, floats, other in both:
            object.__setattr__(self, name, _join(floats, other))
        return self

    jax.tree_util.register_pytree_node(cls, flatten, unflatten)
    return cls


def _holds_floats(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return _holds_floats(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return any(_holds_floats(member) for member in get_args(hint))
    if get_origin(hint) is tuple:
        members = [member for member in get_args(hint) if member is not Ellipsis]
        return all(_holds_floats(member) for member in members)
    return hint is float or hasattr(hint, "__pydantic_config__")


def _split(pairs: tuple[tuple[str, Any], ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Part the floats of keyword arguments, which are leaves, from all else."""
    # While tracing a float is a tracer, so ask what is none.
    fixed = tuple(isinstance(value, bool | int | str) for _, value in pairs)
    floats = tuple(value for (_, value), no in zip(pairs, fixed, strict=True) if not no)
    other = zip(pairs, fixed, strict=True)
    return floats, tuple((name, (value,) if no else None) for (name, value), no in other)


def _join(floats: Sequence[Any], other: tuple[Any, ...]) -> tuple[tuple[str, Any], ...]:
    numbers = iter(floats)
    return tuple((name, next(numbers) if v is None else v[0]) for name, v in other)


def validate(kind: Any, data: Any, where: str = "") -> Any:
    """Read plain data (what TOML or JSON holds) into options.

    Args:
        kind: an options class, or a union of them tagged by ``kind``.
        data: mappings, lists, strings, numbers and booleans.
        where: what the data is, for messages (a file name, say).

    Returns:
        An instance of ``kind``.

    Raises:
        JaxbqError: an unknown key or kind (with the nearest valid one), a wrong type, a value out
            of range; one line for the first fault.
    """
    try:
        # JSON mode: strict about numbers and strings, yet a list may fill a tuple.
        return _adapter(kind).validate_json(json.dumps(data, default=_refuse))
    except pydantic.ValidationError as fault:
        raise JaxbqError(_one_line(kind, fault, where)) from None


def check(instance: T) -> T:
    """Check an options object made in Python as a config would be.

    Returns:
        An equal one with every value in its own type: 1 for a float becomes 1.0.
    """
    return validate(type(instance), dataclasses.asdict(instance), type(instance).__name__)  # type: ignore[call-overload]


def replace_option(instance: T, key: str, value: Any) -> T:
    """Change one option by its dotted key, like ``optimiser.learning_rate``; indices of tuples too.

    Raises:
        JaxbqError: there is no such option, or the value is not one for it.
    """
    return check(_replaced(instance, key.split("."), key, value))


def _replaced(place: Any, steps: list[str], key: str, value: Any) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(place, tuple):
        known = [str(n) for n in range(len(place))]
        if step in known:
            number = int(step)
            inner = _replaced(place[number], rest, key, value)
            return (*place[:number], inner, *place[number + 1 :])
    elif dataclasses.is_dataclass(place) and not isinstance(place, type):
        known = [field.name for field in dataclasses.fields(place)]
        if step in known:
            inner = _replaced(getattr(place, step), rest, key, value)
            return dataclasses.replace(place, **{step: inner})
    else:
        raise JaxbqError(f"{key}: there is no option {step!r} inside {place!r}")
    raise JaxbqError(f"{key}: unknown option {step!r}{_nearest(step, known)}")


def get_option(instance: Any, key: str) -> Any:
    """Look an option up by its dotted key."""
    for step in key.split("."):
        instance = instance[int(step)] if isinstance(instance, tuple) else getattr(instance, step)
    return instance


def varied(instances: Sequence[Any]) -> str | None:
    """Name the one number that differs between options objects, by its dotted key.

    None where none differs, or more than one, or something that is no number.
    """
    tables = [dict(_flat(dataclasses.asdict(instance))) for instance in instances]
    keys = {key for table in tables for key in table}
    found = [key for key in keys if len({table.get(key) for table in tables}) > 1]
    if len(found) != 1 or not all(isinstance(table.get(found[0]), float) for table in tables):
        return None
    return found[0]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _flat(member, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for number, member in enumerate(value):
            yield from _flat(member, f"{path}.{number}")
    else:
        yield path, value


def describe(instance: Any) -> str:
    """Name an options object by its kind and whatever differs from the defaults.

    One with a property ``standard`` says itself what it is called and compared with.
    """
    head = getattr(instance, "kind", None) or getattr(instance, "name", type(instance).__name__)
    head, usual = getattr(instance, "standard", (head, None))
    changed = []
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        default = field.default if usual is None else getattr(usual, field.name)
        if field.name not in ("kind", "name") and value != default:
            changed.append(f"{field.name}={_say(value)}")
    return f"{head}({', '.join(changed)})" if changed else str(head)


def _say(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return describe(value)
    if isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value)):
        return " + ".join(map(_say, value))
    return str(value)


@functools.lru_cache(maxsize=256)
def _adapter(kind: Any) -> Any:
    # Making one takes longer than a small inversion.
    return pydantic.TypeAdapter(kind)


def _refuse(value: Any) -> Any:
    raise JaxbqError(f"{value!r} is a {type(value).__name__}, which no option takes")


def _one_line(kind: Any, fault: pydantic.ValidationError, where: str) -> str:
    errors = fault.errors(include_url=False)
    error = errors[0]
    path, names = _walk(kind, error["loc"])
    place = ": ".join(part for part in (where, ".".join(path)) if part)
    what = _SAYINGS.get(error["type"], _say_plainly)(error, path, names)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{place}: {what}{more}" if place else f"{what}{more}"


def _say_unknown_key(error: Any, path: list[str], names: list[str]) -> str:
    return f"unknown key{_nearest(path[-1], names)}"


def _say_unknown_kind(error: Any, path: list[str], names: list[str]) -> str:
    known = [tag.strip().strip("'") for tag in error["ctx"]["expected_tags"].split(",")]
    key = error["ctx"]["discriminator"].strip("'").removesuffix("()")
    return f"unknown {key} {error['ctx']['tag']!r}{_nearest(error['ctx']['tag'], known)}"


def _say_missing_kind(error: Any, path: list[str], names: list[str]) -> str:
    return f"no {error['ctx']['discriminator']} given"


def _say_missing(error: Any, path: list[str], names: list[str]) -> str:
    return "this key is needed and missing"


def _say_literal(error: Any, path: list[str], names: list[str]) -> str:
    return f"{error['input']!r} is none of {error['ctx']['expected']}"


def _say_plainly(error: Any, path: list[str], names: list[str]) -> str:
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if error["type"] == "value_error":
        return message
    given = error.get("input")
    return message if isinstance(given, dict | list) else f"{message}, not {given!r}"


_SAYINGS: dict[str, Callable[[Any, list[str], list[str]], str]] = {
    "unexpected_keyword_argument": _say_unknown_key,
    "union_tag_invalid": _say_unknown_kind,
    "union_tag_not_found": _say_missing_kind,
    "missing": _say_missing,
    "literal_error": _say_literal,
}


def _nearest(given: Any, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(given), known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""


def _walk(kind: Any, location: tuple[int | str, ...]) -> tuple[list[str], list[str]]:
    """Follow a pydantic location through the types.

    Returns the path as a user writes it (union tags dropped) and the keys that the last table on
    it can have.
    """
    path: list[str] = []
    names: list[str] = []
    for step in location:
        members = list(_members(kind))
        tagged = [member for member in members if step in _tags(member)]
        if len(members) > 1 and tagged:
            kind = get_args(tagged[0])[0] if _own_tags(tagged[0]) else tagged[0]
            continue
        table = next((m for m in members if dataclasses.is_dataclass(m)), None)
        if len(members) > 1 and table is None and isinstance(step, str):
            continue  # pydantic's name of one alternative, such as str
        path.append(str(step))
        if table is not None:
            hints = get_type_hints(table, include_extras=True)
            names = list(hints)
            kind = hints.get(str(step), object)
        elif isinstance(step, int) and members:
            kind = (get_args(members[0]) or (object,))[0]
    return path, names


def _members(kind: Any) -> Iterator[Any]:
    """List the alternatives of a type, through Annotated and unions; those with a tag keep it."""
    if get_origin(kind) is Annotated and _own_tags(kind):
        yield kind
    elif get_origin(kind) is Annotated:
        yield from _members(get_args(kind)[0])
    elif get_origin(kind) in (Union, types.UnionType):
        for member in get_args(kind):
            yield from _members(member)
    else:
        yield kind


def _own_tags(member: Any) -> tuple[str, ...]:
    extras = getattr(member, "__metadata__", ())
    return tuple(extra.tag for extra in extras if isinstance(extra, pydantic.Tag))


def _tags(member: Any) -> tuple[Any, ...]:
    if _own_tags(member):
        return _own_tags(member)
    if not dataclasses.is_dataclass(member):
        return ()
    hints = get_type_hints(member)
    return tuple(
        tag
        for name in ("kind", "rule")
        if name in hints and get_origin(hints[name]) is Literal
        for tag in get_args(hints[name])
    )
