import io
import struct
import zipfile

import numpy as np
import pytest

from jaxbq.errors import JaxbqError
from jaxbq.runtime.archives import open_archive, read_npy, read_npz


def npy(array, **changes) -> bytes:
    """An npy file; its header changed by text."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    content = buffer.getvalue()
    for old, new in changes.items():
        content = content.replace(old.encode(), new.ljust(len(old)).encode(), 1)
    return content


def zipped(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_arrays_come_back_in_order_as_they_were(tmp_path, rng):
    arrays = {
        "w": rng.normal(size=(3, 4)),
        "a": np.asfortranarray(rng.normal(size=(2, 3)).astype(np.float32)),
        "n": np.array(3),
        "none": np.zeros((0, 4)),
        "words": np.array(["é", "b"]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_npz(tmp_path / "a.npz", 10**6)
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
            assert found[name].flags.writeable
    np.save(tmp_path / "w.npy", arrays["a"])
    np.testing.assert_array_equal(read_npy(tmp_path / "w.npy", 100), arrays["a"])


def test_size_is_known_before_anything_is_unpacked(tmp_path):
    bomb = zipped(tmp_path / "bomb.npz", [("w.npy", npy(np.zeros(10**6)))], zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 10**5
    with pytest.raises(JaxbqError, match=r"unpacks to 8,000,128 bytes"):
        read_npz(bomb, 10**6)
    np.save(tmp_path / "w.npy", np.zeros(10))
    with pytest.raises(JaxbqError, match="80 bytes are more"):
        read_npy(tmp_path / "w.npy", 79)


LIES = {
    "a longer shape": (npy(np.zeros(4), **{"(4,)": "(9,)"}), "truncated|says shape"),
    "an overflowing shape": (npy(np.zeros((10**3, 10)), **{"(1000, 10)": "(9**9, 9)"}), "read"),
    "a negative shape": (npy(np.zeros((10, 10)), **{"(10, 10)": "(-1, 1)"}), "says shape"),
    "objects": (npy(np.array([print], object)), "never loaded"),
    "a field of objects": (npy(np.zeros(2, [("a", "i4"), ("b", "O")])), "never loaded"),
    "code for a header": (npy(np.zeros(4), **{"(4,)": "f()"}), "cannot be read"),
    "no header": (b"\x93NUMPY\x01\x00", "cannot be read"),
    "another version": (b"\x93NUMPY\x09\x00" + bytes(100), "version|cannot be read"),
    "nothing": (b"", "cannot be read"),
    "an endless header": (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{", "cannot be read"),
}


@pytest.mark.parametrize(("content", "message"), LIES.values(), ids=LIES)
def test_a_file_that_lies_is_one_clear_line(tmp_path, content, message):
    (tmp_path / "w.npy").write_bytes(content)
    with pytest.raises(JaxbqError, match=message):
        read_npy(tmp_path / "w.npy", 10**6)
    with pytest.raises(JaxbqError, match=message):
        read_npz(zipped(tmp_path / "w.npz", [("w.npy", content)]), 10**6)


def test_archives_that_are_none(tmp_path):
    for name, content in {"text": b"hello", "empty": b"", "cut": npy(np.zeros(3))[:40]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(JaxbqError, match="cannot be read"):
            read_npz(tmp_path / name, 100)
    with pytest.raises(JaxbqError, match="no such file"):
        read_npz(tmp_path / "none", 100)
    with pytest.raises(JaxbqError, match="is no array"):
        read_npz(zipped(tmp_path / "b.npz", [("../evil.txt", b"x")]), 100)
    many = zipped(tmp_path / "many.npz", [(f"{n}.npy", b"") for n in range(5000)])
    with pytest.raises(JaxbqError, match="5,000 files"):
        read_npz(many, 100)
    members = [("a.npy", npy(np.zeros(1))), ("a.npy", npy(np.ones(1)))]
    with pytest.warns(UserWarning, match="Duplicate"):
        zipped(tmp_path / "two.npz", members)
    with pytest.raises(JaxbqError, match="two files of one name"):
        read_npz(tmp_path / "two.npz", 10**4)


def test_a_member_with_another_length_than_its_directory_says(tmp_path):
    path = zipped(tmp_path / "a.npz", [("w.npy", npy(np.zeros(100)))])
    content = bytearray(path.read_bytes())
    # The directory's word for the unpacked size, 928 bytes: now 100.
    place = content.rfind(struct.pack("<I", 928))
    content[place : place + 4] = struct.pack("<I", 100)
    path.write_bytes(content)
    with pytest.raises(JaxbqError):
        read_npz(path, 10**6)


def test_faults_while_reading_are_one_line_too(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a", b"x" * 1000)])
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)
    with pytest.raises(JaxbqError, match="cannot be read"), open_archive(path, 10**4) as archive:
        archive.read("a")
