"""Compiled programs: kept in the user's cache folder, and compiled quickly where that pays.

A run begins where others ended; and a program that computes for milliseconds is not optimised for
seconds.
"""

import contextlib
import functools
import glob
import hashlib
import math
import os
import platform
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..errors import JaxbqError
from .cache import cache_folder, trim, version_of
from .files import make_folder

_PLACE = "jax_compilation_cache_dir"
_LEAST_TIME = "jax_persistent_cache_min_compile_time_secs"
_FAULT = r"Error (?:reading|writing) persistent compilation cache entry for '([^']*)'"
# Bytes, of all machines and versions together; a run of all methods takes a fortieth of it.
_MOST = 2**27
# What says in /proc/cpuinfo which instructions a program may be made of.
_TELLING = re.compile(
    r"(?:vendor_id|cpu family|model|model name|flags|CPU \w+|Features|cpu|isa|uarch)\s*:.*"
)
# XLA on CPUs: plain loops in place of fusions written by MLIR, and no optimiser after them. It
# compiles in a quarter of the time (two cores, jaxlib 0.10.2). Loops then take twice the time or
# more, and products of matrices none, since they are a library's.
_QUICK: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}


class Compiled:
    """A function compiled by `jax.jit` in one of two ways, with the same results up to rounding.

    Args:
        function: a pure function of arrays.
        static: numbers of the arguments that programs are made for.
    """

    def __init__(self, function: Callable[..., Any], *static: int) -> None:
        self._function, self._static = function, static

    @functools.cached_property
    def thorough(self) -> Any:
        """Optimised fully: for what computes for longer than it compiles."""
        return jax.jit(self._function, static_argnums=self._static)

    @functools.cached_property
    def quick(self) -> Any:
        """Hardly optimised: for what computes for less time than that would take."""
        options = _quick_options()
        return jax.jit(self._function, static_argnums=self._static, compiler_options=options)

    def __call__(self, *given: Any) -> Any:
        """Compute quickly; within another program, as a part of that one."""
        # Only an outermost program may have options of its own. In another's trace all that is made
        # anew is traced; under a gradient alone, what is given is.
        leaves = (jnp.zeros(()), *jax.tree.leaves(given))
        inside = any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
        return (self._function if inside else self.quick)(*given)


@functools.cache
def _quick_options() -> dict[str, Any] | None:
    """Return the options of a quick compilation; None where the compiler has none of that name."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=_QUICK)
    except jax.errors.JaxRuntimeError:
        return None  # another version of XLA
    return _QUICK


@contextlib.contextmanager
def kept_programs() -> Iterator[None]:
    """Keep what is compiled meanwhile for later processes, and use what earlier ones left.

    Whoever has told JAX where to keep programs, or to keep none, is obeyed. A folder that cannot
    be written, or that others may write to, is not used: programs are run without a question. A
    damaged file is taken away and its program compiled anew.
    """
    from jax.experimental.compilation_cache.compilation_cache import reset_cache

    folder = own_folder() if _is_wanted() else None
    if folder is None:
        yield
        return
    before = getattr(jax.config, _PLACE), getattr(jax.config, _LEAST_TIME)
    jax.config.update(_PLACE, str(folder))
    if _LEAST_TIME.upper() not in os.environ:
        # Small programs too: they are many, and to read one takes a tenth of compiling it.
        jax.config.update(_LEAST_TIME, 0.0)
    try:
        with _repairing(folder):
            yield
    finally:
        jax.config.update(_PLACE, before[0])
        jax.config.update(_LEAST_TIME, before[1])
        # JAX stays with the folder that it began with, otherwise.
        reset_cache()


def compiled_folder() -> Path:
    """Return the folder for programs of this version of jaxlib on this kind of processor.

    Programs are machine code: machines that share a home folder must not share them.
    """
    return cache_folder() / "compiled" / f"jaxlib-{version_of('jaxlib')}-{_processor()}"


def _is_wanted() -> bool:
    told = _PLACE.upper() in os.environ or getattr(jax.config, _PLACE) is not None
    return not told and bool(jax.config.jax_enable_compilation_cache)  # type: ignore[attr-defined]


def own_folder() -> Path | None:
    """Make the folder, and room in it; None where it cannot be had for oneself alone."""
    folder = compiled_folder()
    try:
        make_folder(cache_folder())
        for part in (folder.parent, folder):
            part.mkdir(mode=0o700, exist_ok=True)
            if not _is_own(part):
                return None
        make_folder(folder)
        trim(folder.parent, _MOST)
    except (OSError, JaxbqError):
        return None
    return folder


def _is_own(folder: Path) -> bool:
    """Whether nobody else may write there: what is in the folder is run."""
    if sys.platform == "win32":
        return True
    about = folder.stat()
    return about.st_uid == os.getuid() and not about.st_mode & 0o022


def _processor(described: Path = Path("/proc/cpuinfo")) -> str:
    """Name the processor by a digest of its model and of what it can do."""
    try:
        first = described.read_text(encoding="utf-8").partition("\n\n")[0]
        facts = [line for line in first.splitlines() if _TELLING.fullmatch(line)]
    except (OSError, ValueError):
        facts = []
    text = "\n".join(facts or [platform.processor()])
    return f"{platform.machine()}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@contextlib.contextmanager
def _repairing(folder: Path) -> Iterator[None]:
    """Take away a program's file that JAX warns of, and keep the warning from the user."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def hear(message: Any, *about: Any, **more: Any) -> None:
            fault = re.match(_FAULT, str(message))
            if fault is None:
                show(message, *about, **more)
                return
            # JAX would leave it there, and warn again and again.
            for path in folder.glob(f"{glob.escape(fault[1])}-*"):
                with contextlib.suppress(OSError):
                    path.unlink()

        warnings.filterwarnings("always", message=_FAULT)
        warnings.showwarning = hear
        yield


def _numbers(draw: Callable[..., Array], key: Array, count: int, *more: Any) -> Array:
    return draw(key, (count,), *more)


_DRAW = Compiled(_numbers, 0, 2, 3)


def normal(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Draw from N(0, 1), as :func:`jax.random.normal`."""
    return _in_a_row(jax.random.normal, key, shape, jnp.dtype(dtype))


def uniform(
    key: Array, shape: tuple[int, ...], dtype: Any, low: Any = 0.0, high: Any = 1.0
) -> Array:
    """Draw uniformly from [low, high), as :func:`jax.random.uniform`."""
    return _in_a_row(jax.random.uniform, key, shape, jnp.dtype(dtype), low, high)


def _in_a_row(draw: Callable[..., Array], key: Array, shape: tuple[int, ...], *more: Any) -> Array:
    return _DRAW(draw, key, math.prod(shape), *more).reshape(shape)
