"""Files: whole or absent, one sentence where they can't be written, one process in a folder."""

import errno
import hashlib
import os
import subprocess
import sys

import pytest

from sslhsi.errors import InputError
from sslhsi.files import (
    atomic,
    atomic_folder,
    exclusive,
    in_use,
    read_rows,
    sha256,
    write_atomic,
    write_rows,
    writing,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["größer\r\n", b"\x00\xff", lambda part: part.write_bytes(b"by itself")])
@pytest.mark.parametrize("sync", [False, True])
def test_a_file_gets_what_it_is_given(tmp_path, content, sync):
    path = tmp_path / "made" / "a.b.txt"
    assert write_atomic(path, content, sync=sync) == path
    expected = content.encode() if isinstance(content, str) else content
    assert path.read_bytes() == (b"by itself" if callable(content) else expected)
    assert names(tmp_path / "made") == ["a.b.txt"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "x"), r"a\.txt: can't be written \(the disk is full\); free some space or go away$"),
        (OSError(errno.EDQUOT, "x"), "the disk is full"),
        (RuntimeError("I/O error: No space left on device"), "the disk is full"),
        (OSError(errno.EACCES, "Permission denied"), r"a\.txt: can't be written \(Permission denied\); go away$"),
        (RuntimeError("no driver"), r"a\.txt: can't be written \(no driver\); go away$"),
    ],
)
def test_what_stops_a_write_leaves_what_was_there(tmp_path, error, message):
    (tmp_path / "a.txt").write_text("older")

    def half(part):
        part.write_text("half")
        part.with_suffix(".hdr").touch()
        raise error

    with pytest.raises(InputError, match=message):
        write_atomic(tmp_path / "a.txt", half, "go away", (RuntimeError,))
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "older"


def test_other_errors_pass_and_leave_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "a.txt") as part:
        part.write_text(f"half {1 / 0}")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "a") as part:
        (part / "b").write_text(f"half {1 / 0}")
    assert names(tmp_path) == []


def test_files_that_belong_together_arrive_together(tmp_path):
    with atomic(tmp_path / "a.img", beside=[".hdr"]) as part:
        part.write_text("data")
        part.with_suffix(".hdr").write_text("header")
        part.with_name(part.name + ".aux.xml").write_text("what nobody asked for")
        assert part.suffix == ".img"
    assert names(tmp_path) == ["a.hdr", "a.img"]


def test_a_folder_takes_the_place_of_the_older_one(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    with atomic_folder(tmp_path / "a", sync=True) as part:
        (part / "new").touch()
        assert names(tmp_path / "a") == ["old"]
    assert names(tmp_path / "a") == ["new"]
    assert names(tmp_path) == ["a"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can't be written"), atomic_folder(tmp_path / "file" / "b"):
        pass


def test_writing_names_the_path(tmp_path):
    (tmp_path / "file").touch()
    message = r"^somewhere: can't be written \(Not a directory\); mend it$"
    with pytest.raises(InputError, match=message), writing("somewhere", "mend it"):
        (tmp_path / "file" / "a").mkdir()


def test_tables_come_back(tmp_path):
    write_rows(tmp_path / "t.csv", [{"a": "1"}, {"a": "x,y", "b": '"'}])
    assert read_rows(tmp_path / "t.csv") == [{"a": "1", "b": ""}, {"a": "x,y", "b": '"'}]
    write_rows(tmp_path / "t.csv", [], ["a"])
    assert (tmp_path / "t.csv").read_bytes() == b"a\r\n"
    assert read_rows(tmp_path / "t.csv") == read_rows(tmp_path / "none.csv") == []


def test_the_sum_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(os.urandom(300_000))
    assert sha256(tmp_path / "a") == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()


def test_one_process_at_a_time(tmp_path):
    folder = tmp_path / "run"
    other = [
        sys.executable,
        "-c",
        "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)",
    ]
    assert not in_use(folder)
    with exclusive(folder):
        assert in_use(folder)
        with pytest.raises(BlockingIOError):
            exclusive(folder)
        assert subprocess.run([*other, folder / ".lock"], capture_output=True).returncode
    assert not in_use(folder)
    assert subprocess.run([*other, folder / ".lock"], capture_output=True).returncode == 0
