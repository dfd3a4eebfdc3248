import gzip
import struct

import numpy as np
import problems
import pytest

from jaxbq.data.mnist import read_idx
from jaxbq.errors import JaxbqError


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, ">u1"), (0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")],
)
def test_every_type_reads_back(tmp_path, suffix, code, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    problems.write_idx(tmp_path / f"a{suffix}", array, code)
    read = read_idx(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read, array)
    assert read.dtype.isnative


def test_compression_is_told_by_content_not_name(tmp_path):
    problems.write_idx(tmp_path / "a.gz", np.arange(3, dtype=np.uint8))
    (tmp_path / "b").write_bytes((tmp_path / "a.gz").read_bytes())
    assert read_idx(tmp_path / "b").tolist() == [0, 1, 2]


GOOD = b"\0\0\x08\x01\0\0\0\x03abc"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x01" + GOOD[1:], "not an IDX file"),
        (b"\0\0\x07\x01\0\0\0\x03abc", "not an IDX file"),
        (b"\0\0\x08\0abc", "not an IDX file"),
        (GOOD[:6], "truncated in its header"),
        (GOOD[:-1], "truncated"),
        (GOOD + b"d", "longer than its header says"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"abc", "claims"),
        (gzip.compress(GOOD, mtime=0)[:-9], "cannot be read"),
        (gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), "cannot be read"),
    ],
)
def test_damage_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(JaxbqError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(JaxbqError, match="no such file"):
        read_idx(tmp_path / "a")


def test_sizes_beyond_all_bounds_beside_a_zero(tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(struct.pack(">HBB4I", 0, 0x0D, 4, 0, 2**31, 2**31, 2**31))
    with pytest.raises(JaxbqError, match="more than jaxbq reads"):
        read_idx(path)
    path.write_bytes(struct.pack(">HBB3I", 0, 0x08, 3, 0, 28, 28))
    assert read_idx(path).shape == (0, 28, 28)
