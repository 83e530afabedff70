"""Downloads against a local server that misbehaves on request."""

import hashlib
import http.server
import json
import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sslhsi.errors import InputError
from sslhsi.scenes import catalog
from sslhsi.scenes.catalog import get_entry
from sslhsi.scenes.download import download, fetch, load

BODY = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


@dataclass
class Site:
    """What the server has and how it behaves; every request is noted."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"one"'
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)  # bytes sent before the connection is cut, per request
    declare: bool = True  # send Content-Length
    refuse: list[int] = field(default_factory=list)  # statuses answered first
    redirect: str | None = None
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Site(files={"/cube.mat": BODY})

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            state.requests.append((self.path, dict(self.headers)))
            if state.redirect:
                self.send_response(302)
                self.send_header("Location", state.redirect)
                self.end_headers()
                return
            if state.refuse or self.path not in state.files:
                self.send_error(state.refuse.pop(0) if state.refuse else 404)
                return
            body = state.files[self.path]
            start = 0
            asked = self.headers.get("Range")
            if asked and state.ranges and self.headers.get("If-Range", state.etag) == state.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            if state.etag:
                self.send_header("ETag", state.etag)
            if state.declare:
                self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            cut = state.cut_after.pop(0) if state.cut_after else None
            self.wfile.write(body[start:] if cut is None else body[start : start + cut])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def get(site, folder, **options):
    options = {"progress": False, "backoff": 0.0, "retries": 2, "timeout": 5.0} | options
    return download(site.address + "/cube.mat", folder / "cube.mat", **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file(site, tmp_path):
    path = get(site, tmp_path / "deep" / "folder", checksum=MD5, expected_size=len(BODY), progress=True)
    assert path.read_bytes() == BODY
    assert names(path.parent) == ["cube.mat"]


def test_a_cut_connection_is_resumed_where_it_stopped(site, tmp_path):
    site.cut_after = [100_000, 50_000]
    assert get(site, tmp_path).read_bytes() == BODY
    assert [headers.get("Range") for _, headers in site.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert site.requests[1][1]["If-Range"] == '"one"'
    assert names(tmp_path) == ["cube.mat"]


def test_a_later_call_continues_what_an_earlier_one_left(site, tmp_path):
    site.cut_after = [100_000]
    with pytest.raises(InputError, match=r"100000 of 300000 bytes"):
        get(site, tmp_path, retries=0)
    assert "cube.mat" not in names(tmp_path)
    assert get(site, tmp_path).read_bytes() == BODY
    assert site.requests[-1][1]["Range"] == "bytes=100000-"


def test_a_server_that_ignores_ranges(site, tmp_path):
    site.ranges = False
    site.cut_after = [100_000]
    assert get(site, tmp_path, checksum=MD5).read_bytes() == BODY
    assert "Range" in site.requests[1][1]


def test_a_file_that_changed_in_between_is_not_stitched(site, tmp_path):
    site.cut_after = [100_000]
    with pytest.raises(InputError):
        get(site, tmp_path, retries=0)
    site.files["/cube.mat"] = BODY[::-1]
    site.etag = '"two"'
    assert get(site, tmp_path).read_bytes() == BODY[::-1]


def test_without_validator_or_checksum_a_part_is_not_trusted(site, tmp_path):
    site.etag = None
    site.cut_after = [100_000]
    with pytest.raises(InputError):
        get(site, tmp_path, retries=0)
    site.files["/cube.mat"] = BODY[::-1]
    assert get(site, tmp_path).read_bytes() == BODY[::-1]
    assert "Range" not in site.requests[-1][1]


def test_with_a_checksum_a_part_without_validator_is_continued(site, tmp_path):
    site.etag = None
    site.cut_after = [100_000]
    assert get(site, tmp_path, checksum=MD5).read_bytes() == BODY
    assert site.requests[-1][1]["Range"] == "bytes=100000-"


def test_a_part_that_is_already_complete(site, tmp_path):
    (tmp_path / "cube.mat.part").write_bytes(BODY)
    assert get(site, tmp_path, checksum=MD5).read_bytes() == BODY
    assert names(tmp_path) == ["cube.mat"]


def test_a_part_longer_than_the_file_is_dropped(site, tmp_path):
    (tmp_path / "cube.mat.part").write_bytes(BODY + b"more")
    assert get(site, tmp_path, checksum=MD5).read_bytes() == BODY


def test_a_wrong_checksum_leaves_nothing(site, tmp_path):
    with pytest.raises(InputError, match=r"instead of md5:0{32}"):
        get(site, tmp_path, checksum="md5:" + "0" * 32)
    assert names(tmp_path) == []


def test_a_wrong_size_leaves_nothing(site, tmp_path):
    with pytest.raises(InputError, match="300000 bytes instead of 300001"):
        get(site, tmp_path, expected_size=len(BODY) + 1)
    assert names(tmp_path) == []


def test_a_truncated_body_without_declared_length_fails_its_checksum(site, tmp_path):
    site.declare = False
    site.cut_after = [1000]
    with pytest.raises(InputError, match="checksum"):
        get(site, tmp_path, checksum=MD5)
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_not_retried(site, tmp_path, status):
    site.refuse = [status]
    with pytest.raises(InputError, match=rf"{status}.*browser"):
        get(site, tmp_path)
    assert len(site.requests) == 1
    assert names(tmp_path) == []


def test_a_busy_server_is_asked_again(site, tmp_path):
    site.refuse = [503, 429]
    assert get(site, tmp_path).read_bytes() == BODY
    assert len(site.requests) == 3


def test_nobody_there(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(InputError, match="failed after 2 attempts"):
        download("http://127.0.0.1:9/x", tmp_path / "x", progress=False, retries=1, backoff=0.0, timeout=1.0)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/x", "cube.mat"])
def test_other_schemes_are_refused(tmp_path, url):
    with pytest.raises(InputError, match="http"):
        download(url, tmp_path / "x", progress=False)


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_a_redirection_to_another_scheme_is_refused(site, tmp_path, place):
    site.redirect = place
    with pytest.raises(InputError):
        get(site, tmp_path, retries=0)
    assert "cube.mat" not in names(tmp_path)


@pytest.mark.parametrize("checksum", ["abc", "md5:", "sha1:" + "0" * 40, "md5:" + "g" * 32, "md5:" + "0" * 64])
def test_a_malformed_checksum_is_refused_before_any_request(site, tmp_path, checksum):
    with pytest.raises(InputError, match="hexadecimal"):
        get(site, tmp_path, checksum=checksum)
    assert site.requests == []


def test_an_existing_file_is_verified_and_kept(site, tmp_path):
    get(site, tmp_path)
    assert get(site, tmp_path, checksum=MD5).read_bytes() == BODY
    assert len(site.requests) == 1
    (tmp_path / "cube.mat").write_bytes(b"something else")
    with pytest.raises(InputError, match="already exists"):
        get(site, tmp_path, checksum=MD5)
    assert (tmp_path / "cube.mat").read_bytes() == b"something else"


def test_a_full_disk(site, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="the disk is full"):
        get(site, tmp_path)
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file(site, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="can't be written"):
        get(site, tmp_path / "taken")


@pytest.fixture
def small_scene(site, tmp_path, monkeypatch):
    """The SalinasA entry, served from here with a small cube."""
    entry = get_entry("salinas_a")
    labels = np.zeros((8, 9), dtype=np.uint8)
    labels[2:5, 3:7] = 10
    cube = np.arange(8 * 9 * 204, dtype=np.int16).reshape(8, 9, 204)
    for file, value in ((entry.cube, cube), (entry.labels, labels)):
        scipy.io.savemat(tmp_path / file.name, {file.variable: value})
        site.files["/" + file.name] = (tmp_path / file.name).read_bytes()
    gone = site.address + "/gone/"

    def here(file):
        return replace(file, urls=(gone + file.name, site.address + "/" + file.name))

    local = replace(entry, cube=here(entry.cube), labels=here(entry.labels))
    monkeypatch.setattr(catalog, "CATALOG", (local,))
    return cube, labels, tmp_path / "scenes"


def test_fetch_tries_the_next_address_and_records_checksums(site, small_scene):
    _, _, folder = small_scene
    paths = fetch("salinas_a", folder, progress=False)
    assert [path.name for path in paths] == ["SalinasA_corrected.mat", "SalinasA_gt.mat"]
    record = json.loads((folder / "salinas_a" / "checksums.json").read_text())
    digest = hashlib.sha256(site.files["/SalinasA_gt.mat"]).hexdigest()
    assert record["SalinasA_gt.mat"] == f"sha256:{digest}"
    asked = len(site.requests)
    assert fetch("salinas_a", folder, progress=False) == paths
    assert len(site.requests) == asked


def test_fetch_refuses_a_file_that_changed_since_the_first_time(site, small_scene):
    _, _, folder = small_scene
    paths = fetch("salinas_a", folder, progress=False)
    paths[1].unlink()
    site.files["/SalinasA_gt.mat"] += b"x"
    with pytest.raises(InputError, match="checksum"):
        fetch("salinas_a", folder, progress=False)
    assert not paths[1].exists()


def test_fetch_reports_when_every_address_fails(site, small_scene):
    _, _, folder = small_scene
    site.files.clear()
    with pytest.raises(InputError, match=r"any of its addresses.*/gone/.*404.*404"):
        fetch("salinas_a", folder, progress=False)


def test_load_reads_what_it_fetched(small_scene):
    pytest.importorskip("sslhsi.scenes.read")
    cube, labels, folder = small_scene
    scene = load("salinas_a", folder, progress=False)
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, labels)
    assert scene.class_name(10) == "Corn senesced green weeds"
    assert scene.wavelengths is not None
    assert Path(scene.source).name == "SalinasA_corrected.mat"
