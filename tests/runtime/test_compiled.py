import argparse
import os
import stat
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from jaxbq import cli
from jaxbq.runtime import compiled
from jaxbq.runtime.compiled import Compiled, compiled_folder, kept_programs, normal, uniform

PLACE = "jax_compilation_cache_dir"
heard = []
jax.monitoring.register_event_listener(lambda event, **_: heard.append(event.rpartition("/")[2]))


@pytest.fixture(autouse=True)
def untold(tmp_path, monkeypatch):
    """Nobody has told JAX where to keep programs."""
    before = getattr(jax.config, PLACE)
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(PLACE.upper(), raising=False)
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", raising=False)
    jax.config.update(PLACE, None)
    reset_cache()
    yield
    jax.config.update(PLACE, before)
    reset_cache()


def compute():
    """Compile a program and run it; say how the compilation went."""
    # A new function: JAX keeps nothing of it in memory.
    heard.clear()
    assert jax.jit(lambda x: jnp.sin(x) * 3)(jnp.zeros(5)).tolist() == [0] * 5
    return "read" if "cache_hits" in heard else "kept" if "cache_misses" in heard else "no more"


def files():
    return sorted(compiled_folder().glob("*-cache"))


@pytest.mark.device
def test_programs_are_kept_for_later():
    jnp.zeros(5).block_until_ready()
    before = {name: getattr(jax.config, name) for name in (PLACE, compiled._LEAST_TIME)}
    with kept_programs():
        assert compute() == "kept"
        (file,) = files()
        assert compute() == "read"
        with kept_programs():  # within itself
            assert compute() == "read"
        assert compute() == "read"
    # The user's own JAX is as it was.
    assert {name: getattr(jax.config, name) for name in before} == before
    assert compute() == "no more"
    with kept_programs():
        assert compute() == "read"
    assert files() == [file]
    assert stat.S_IMODE(compiled_folder().stat().st_mode) == 0o700


def shorten(path):
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    path.write_bytes(b"")


def scribble(path):
    path.write_bytes(b"something else altogether" * 50)


@pytest.mark.parametrize("spoil", [shorten, empty, scribble])
def test_a_damaged_program_is_compiled_anew_without_a_word(spoil, recwarn):
    jnp.zeros(5).block_until_ready()
    with kept_programs():
        compute()
    (file,) = files()
    whole = len(file.read_bytes())
    spoil(file)
    with kept_programs():
        assert compute() == "kept"
        assert compute() == "read"
    assert files() == [file]
    assert abs(len(file.read_bytes()) - whole) < whole // 10
    assert not recwarn.list


def test_other_warnings_are_heard():
    def speak():
        with kept_programs():
            warnings.warn("something else", stacklevel=1)

    with pytest.warns(UserWarning, match="something else"):
        speak()


def test_whoever_tells_jax_is_obeyed(tmp_path, monkeypatch):
    for told in (str(tmp_path / "own"), ""):
        monkeypatch.setenv(PLACE.upper(), told)
        with kept_programs():
            assert compute() == "no more"
    monkeypatch.delenv(PLACE.upper())
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        with kept_programs():
            assert compute() == "no more"
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update(PLACE, str(tmp_path / "own"))
    with kept_programs():
        assert getattr(jax.config, PLACE) == str(tmp_path / "own")
    assert not compiled_folder().parent.exists()


def file_in_the_way(root):
    root.parent.mkdir()
    root.write_text("a file")


def anybodys(root):
    root.mkdir(parents=True)
    root.chmod(0o777)


@pytest.mark.parametrize("hinder", [file_in_the_way, anybodys])
def test_a_folder_that_is_not_for_us_alone_is_not_used(hinder):
    hinder(compiled_folder().parent)
    with kept_programs():
        assert compute() == "no more"
    assert not compiled_folder().exists() or not files()


def test_another_processor_has_another_folder(tmp_path, monkeypatch):
    def name(text):
        (tmp_path / "cpuinfo").write_text(text + "\n\nprocessor: 1\nmodel name : other\n")
        return compiled._processor(tmp_path / "cpuinfo")

    told = "processor : 0\nmodel name : A\ncpu MHz : {}\nflags : avx {}\n".format
    assert name(told(2000, "avx2")) == name(told(3100, "avx2"))
    assert name(told(2000, "avx2")) != name(told(2000, "avx512f"))
    assert compiled._processor(tmp_path / "none") == compiled._processor(tmp_path / "none")
    here = compiled_folder()
    monkeypatch.setattr(compiled, "version_of", lambda package: "99")
    assert compiled_folder().parent == here.parent
    assert compiled_folder() != here


def test_what_was_not_used_for_longest_goes_first(monkeypatch):
    folder = compiled_folder()
    (folder.parent / "old").mkdir(parents=True)
    folder.mkdir()
    for age, path in enumerate([folder / "a", folder / "b", folder.parent / "old" / "c"]):
        path.write_bytes(bytes(10_000))
        os.utime(path, (1e9 - age, 1e9 - age))
    # Decides about the bits of all runs, and is older than all programs.
    choices = folder / "products.json"
    choices.write_text("{}")
    os.utime(choices, (1e8, 1e8))
    taken = sum(path.lstat().st_size for path in folder.parent.rglob("*"))
    monkeypatch.setattr(compiled, "_MOST", taken)
    compiled.own_folder()
    assert len(list(folder.parent.rglob("?"))) == 3
    monkeypatch.setattr(compiled, "_MOST", taken - 1)
    compiled.own_folder()
    assert [path.name for path in sorted(folder.parent.rglob("?"))] == ["a", "b"]
    assert choices.exists()


def test_the_command_line_keeps_programs():
    seen = []
    cli._do(argparse.Namespace(command=lambda chosen: seen.append(getattr(jax.config, PLACE))))
    assert seen == [str(compiled_folder())]


def test_a_quick_program_is_the_function_itself_within_another():
    """XLA's options are of an outermost program, whether or not what it is given is traced."""
    double = Compiled(lambda x, n: x * n, 1)
    number = jnp.asarray(3.0)
    assert double(number, 2) == double.quick(number, 2) == double.thorough(number, 2) == 6
    assert jax.jit(lambda: double(number, 2))() == 6
    assert jax.jit(lambda x: double(x, 2))(number) == 6
    assert jax.grad(lambda x: double(x, 2))(number) == 2
    assert jax.vmap(lambda x: double(x, 2))(jnp.arange(3.0)).tolist() == [0, 2, 4]


def test_a_compiler_without_the_options_is_asked_without_them(monkeypatch):
    monkeypatch.setattr(compiled, "_QUICK", {"xla_no_such_option": True})
    compiled._quick_options.cache_clear()
    try:
        assert compiled._quick_options() is None
        assert Compiled(lambda x: x + 1)(jnp.asarray(1.0)) == 2
    finally:
        compiled._quick_options.cache_clear()


@pytest.mark.parametrize("shape", [(), (7,), (5, 3), (2, 3, 4)])
def test_the_numbers_are_those_of_jax_in_every_shape(key, shape):
    found = normal(key, shape, jnp.float32)
    assert found.shape == shape
    np.testing.assert_allclose(found, jax.random.normal(key, shape, jnp.float32), rtol=1e-5)
    found = uniform(key, shape, jnp.float32, -2.0, 3.0)
    expected = jax.random.uniform(key, shape, jnp.float32, -2.0, 3.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_they_are_drawn_in_the_type_asked_for_and_within_a_program(key):
    drawn = jax.jit(lambda key: (normal(key, (4, 2), jnp.float64), uniform(key, (3,), "float32")))
    one, two = drawn(key)
    assert (one.dtype, two.dtype) == (jnp.float64, jnp.float32)
    np.testing.assert_allclose(one, jax.random.normal(key, (4, 2), jnp.float64), rtol=1e-12)
