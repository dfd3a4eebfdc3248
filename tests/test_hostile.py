"""Untrusted files: whatever is in them, one clear line comes of it or nothing bad."""

import importlib.util
import warnings

import hostile
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

NEEDS = {"h5": "h5py", "keras": "h5py", "onnx": "onnx"}
# A megabyte of nothing, and everything in one byte.
ODD = (b"", b"\x00", bytes(10**6), b"\xff" * 64)
EDIT = st.tuples(st.integers(0, 4), st.integers(0, 2**16), st.integers(0, 2**33))


@pytest.fixture(params=list(hostile.READERS))
def reader(request):
    needed = NEEDS.get(request.param)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not here")
    return hostile.READERS[request.param]


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


# Many more are tried by `make fuzz`, which also looks for those that reach new code.
FEW = settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_the_seeds_are_read(reader, folder):
    for seed in reader.seeds():
        assert hostile.tried(reader, seed, folder) is None


@FEW
@given(content=st.binary(max_size=400))
@example(content=ODD[0])
@example(content=ODD[1])
@example(content=ODD[2])
@example(content=ODD[3])
def test_anything_at_all(reader, folder, content):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, about what is wrong with the file
        said = hostile.tried(reader, content, folder)
    if content in ODD[1:]:
        assert said is not None


@FEW
@given(number=st.integers(0, 9), edits=st.lists(EDIT, min_size=1, max_size=6))
def test_a_valid_file_changed(reader, folder, number, edits):
    seeds = reader.seeds()
    content = hostile.mutated(seeds[number % len(seeds)], edits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = hostile.tried(reader, content, folder)
    assert said is None or len(said.splitlines()) == 1
