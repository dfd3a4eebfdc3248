import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from jaxbq.runtime import cache
from jaxbq.runtime.cache import cache_folder, digest, kept

KINDS = {
    "single": np.linspace(0, 1, 7, dtype=np.float32).reshape(7, 1),
    "double": np.array([[np.pi, -0.0], [np.nan, np.inf]]),
    "columns": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "scalar": np.float64(0.1),
    "empty": np.zeros((0, 4), np.float32),
    "truth": np.array([True, False]),
    "words": np.array(["×", "abc"]),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Makes arrays and counts how often."""

    def __init__(self, arrays):
        self.arrays, self.calls = arrays, 0

    def __call__(self):
        self.calls += 1
        return self.arrays


def bits(arrays):
    return {name: (a.dtype.str, a.shape, a.flags.c_contiguous, a.tobytes()) for name, a in arrays}


def the_file(folder: Path) -> Path:
    (path,) = folder.rglob("*.npz")
    return path


def test_what_is_read_is_bit_for_bit_what_was_made(folder):
    make = Maker(KINDS)
    made, read = (kept("things", {"a": 1}, make) for _ in range(2))
    assert make.calls == 1
    assert list(read) == list(made) == list(KINDS)
    assert bits(read.items()) == bits(made.items())
    assert all(read[name].tobytes() == np.asarray(a).tobytes() for name, a in KINDS.items())
    read["single"][:] = 5  # the caller's own copy
    assert the_file(folder).parent == folder / "things"


def test_another_question_has_another_answer():
    asked = [("a", [1]), ("a", [2]), ("b", [1]), ("a", {"x": [1, "data"]})]
    for number, (kind, identity) in enumerate(asked):
        kept(kind, identity, Maker({"x": np.array(number)}))
    refuse = Maker(None)
    assert [int(kept(*question, refuse)["x"]) for question in asked] == [0, 1, 2, 3]
    assert refuse.calls == 0


def test_another_version_makes_anew(monkeypatch):
    make = Maker({"x": np.zeros(2)})
    kept("a", 1, make)
    monkeypatch.setattr(cache, "version_of", lambda package: "99")
    kept("a", 1, make)
    monkeypatch.setattr(cache.platform, "machine", lambda: "abacus")
    kept("a", 1, make)
    assert make.calls == 3


def test_what_was_not_used_for_longest_goes_where_a_kind_takes_too_much(folder, monkeypatch):
    arrays = {"x": np.zeros(1000)}
    for number in range(3):
        kept("a", number, Maker(arrays))
        for path in (folder / "a").iterdir():
            os.utime(path, (path.stat().st_mtime - 1000,) * 2)
    kept("b", 0, Maker(arrays))
    monkeypatch.setattr(cache, "_MOST", sum(p.lstat().st_size for p in (folder / "a").iterdir()))
    kept("a", 3, Maker(arrays))
    left = [Maker(arrays) for _ in range(4)]
    for number in (3, 2):
        kept("a", number, left[number])
    kept("b", 0, left[1])
    kept("a", 0, left[0])
    assert [make.calls for make in left] == [1, 0, 0, 0]


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a file of the cache was unpickled",))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"\x00\x00\x28\x42")] ^= 1  # within the number 42
    path.write_bytes(content)


def pickled(path):
    np.savez(path, x=np.array([Bomb()], dtype=object), key=np.array(path.stem))


def raw_pickle(path):
    path.write_bytes(pickle.dumps(Bomb()))


def of_another_key(path):
    np.savez(path, x=np.full(3, 7, np.float32), key=np.array("0" * 64))


def without_a_key(path):
    np.savez(path, x=np.full(3, 7, np.float32))


DAMAGE = [truncate, flip_a_bit, pickled, raw_pickle, of_another_key, without_a_key]


@pytest.mark.parametrize("spoil", DAMAGE, ids=lambda f: f.__name__)
def test_a_damaged_file_is_made_anew(folder, spoil):
    make = Maker({"x": np.full(3, 42, np.float32)})
    kept("a", 1, make)
    spoil(the_file(folder))
    np.testing.assert_array_equal(kept("a", 1, make)["x"], make.arrays["x"])
    assert make.calls == 2
    kept("a", 1, make)  # and is whole again
    assert make.calls == 2


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("JAXBQ_CACHE", str(tmp_path / "file"))
    make = Maker({"x": np.arange(3)})
    for _ in range(2):
        np.testing.assert_array_equal(kept("a", 1, make)["x"], [0, 1, 2])
    assert make.calls == 2


def test_two_may_make_at_once(folder):
    both = threading.Barrier(2)

    def make():
        both.wait(timeout=10)
        return {"x": np.arange(1000.0)}

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: kept("a", 1, make), range(2))
    np.testing.assert_array_equal(one["x"], two["x"])
    assert [path.suffix for path in (folder / "a").iterdir()] == [".npz"]
    np.testing.assert_array_equal(kept("a", 1, Maker(None))["x"], one["x"])


def test_a_fault_in_making_leaves_nothing(folder):
    with pytest.raises(ZeroDivisionError):
        kept("a", 1, lambda: {"x": np.array(1 // 0)})
    assert not folder.exists()


def test_only_plain_arrays_are_kept(folder):
    with pytest.raises(TypeError, match="object"):
        kept("a", 1, lambda: {"x": np.array([{}])})
    with pytest.raises(TypeError, match="key"):
        kept("a", 1, lambda: {"key": np.zeros(1)})
    assert not folder.exists()


def test_the_digest_is_of_type_shape_and_values(rng):
    values = rng.random((4, 6)).astype(np.float32)
    same = digest(values, values[0])
    assert digest(np.asfortranarray(values), values[0].copy()) == same
    changed = values.copy()
    changed[2, 3] = np.nextafter(changed[2, 3], np.float32(2))
    others = [
        (changed, values[0]),
        (values.reshape(6, 4), values[0]),
        (values.view(np.int32), values[0]),
        (values[0], values),
        (values,),
    ]
    assert len({same, *(digest(*arrays) for arrays in others)}) == 6


def test_the_folder_is_named_or_the_systems(folder, monkeypatch):
    assert cache_folder() == folder
    monkeypatch.delenv("JAXBQ_CACHE")
    assert cache_folder().name == "jaxbq"
