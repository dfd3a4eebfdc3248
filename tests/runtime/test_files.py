import os
import stat

import pytest

from jaxbq.errors import JaxbqError
from jaxbq.runtime.files import make_folder, write_atomically, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(JaxbqError, match=r"cannot write .*a.txt: No space left on device"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_interrupt_leaves_nothing(tmp_path):
    def interrupt(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.txt", interrupt)
    assert not list(tmp_path.iterdir())


def test_the_temporary_file_keeps_the_suffix_and_is_hidden(tmp_path):
    seen = []
    write_atomically(tmp_path / "a.png", lambda t: (seen.append(t.name), t.write_bytes(b"x")))
    assert seen[0].startswith(".a.")
    assert seen[0].endswith(".png")


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JaxbqError, match="cannot write"):
        make_folder(tmp_path / "file" / "sub")
    assert make_folder(tmp_path / "new" / "sub").is_dir()


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_next(tmp_path, monkeypatch):
    """So that a power loss cannot keep the second of two files without the first."""
    done, sync, rename = [], os.fsync, os.replace

    def note_sync(handle):
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def note_rename(old, new):
        done.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_rename)
    write_text(tmp_path / "a.txt", "a")
    write_text(tmp_path / "b.txt", "b")
    assert done == ["file", "rename", "folder"] * 2


def test_two_writers_have_two_temporary_files(tmp_path):
    seen = []

    def write(temporary):
        seen.append(temporary.name)
        temporary.write_text(str(len(seen)))
        if len(seen) < 2:
            write_atomically(tmp_path / "a.txt", write)

    write_atomically(tmp_path / "a.txt", write)
    assert len(set(seen)) == 2
    assert (tmp_path / "a.txt").read_text() == "1"
    assert len(list(tmp_path.iterdir())) == 1
