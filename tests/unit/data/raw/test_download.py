"""Downloads against a server on this machine: broken, wrong, absent."""

import hashlib
import http.server
import socket
import threading
from contextlib import contextmanager

import pytest

from benchmark.core.errors import UserError
from benchmark.data.raw import download as module
from benchmark.data.raw.download import Download, download

CONTENT = bytes(range(256)) * 2_000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Offers /file. `cut`: how many bytes it sends before it hangs up; `ranges`: whether it can go on elsewhere."""

    cut: int | None = None
    ranges = True
    shift = 0
    content = CONTENT

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        asked, whole = self.headers.get("Range"), self.server.content
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        if self.path != "/file":
            self.send_error(404)
        elif start >= len(whole):
            self.send_error(416)
        else:
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start + self.server.shift}-{len(whole) - 1}/{len(whole)}")
            self.send_header("Content-Length", str(len(whole) - start))
            self.end_headers()
            self.wfile.write(whole[start:][: self.server.cut])

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server():
    with serving() as found:
        yield found


def wanted(*urls, md5=MD5):
    return Download("file.gz", md5, urls)


def refused(download_, folder):
    with pytest.raises(UserError) as raised:
        download(download_, folder)
    return str(raised.value)


def test_a_download_is_checked_and_told_and_not_done_twice(server, tmp_path):
    heard = []
    target = download(wanted(server.url), tmp_path / "new", lambda *told: heard.append(told))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.gz"]
    assert heard[-1] == ("file.gz", len(CONTENT), len(CONTENT))
    assert download(wanted(server.url), tmp_path / "new") == target
    assert server.asked == [None]


def test_what_was_cut_off_is_kept_and_continued(server, tmp_path):
    server.cut = 300_000
    said = refused(wanted(server.url), tmp_path)
    assert "300,000 of 512,000 bytes" in said
    assert "goes on from there" in said
    assert (tmp_path / "file.gz.part").stat().st_size == 300_000
    assert not (tmp_path / "file.gz").exists()
    server.cut = None
    assert download(wanted(server.url), tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]
    assert not (tmp_path / "file.gz.part").exists()


def test_a_server_that_cannot_continue_sends_all_again(server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert download(wanted(server.url), tmp_path).read_bytes() == CONTENT


def test_another_part_than_was_asked_for_is_not_appended(server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:1000])
    server.shift = 7
    assert "another part" in refused(wanted(server.url), tmp_path)
    assert (tmp_path / "file.gz.part").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more"])
def test_a_part_that_is_whole_or_longer_is_told_by_its_checksum(part, server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(part)
    if part == CONTENT:
        assert download(wanted(server.url), tmp_path).read_bytes() == CONTENT
    else:
        assert "what came was removed" in refused(wanted(server.url), tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_is_refused_and_removed_and_the_next_place_is_tried(server, tmp_path):
    server.content = b"<html>Please sign in</html>"
    said = refused(wanted(server.url), tmp_path)
    assert server.url in said
    assert f"expected {MD5}" in said
    assert list(tmp_path.iterdir()) == []
    with serving() as other:
        assert download(wanted(server.url, other.url), tmp_path).read_bytes() == CONTENT


def test_a_file_of_the_same_name_is_never_overwritten(server, tmp_path):
    (tmp_path / "file.gz").write_bytes(b"mine")
    assert "move it away" in refused(wanted(server.url), tmp_path)
    assert (tmp_path / "file.gz").read_bytes() == b"mine"
    assert not server.asked


def test_absent_files_and_absent_servers_are_told(server, tmp_path):
    assert "the server says 404" in refused(wanted(server.url + "s"), tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/file"
    assert "refused" in refused(wanted(nobody), tmp_path)
    assert "http://nowhere.invalid/file" in refused(wanted("http://nowhere.invalid/file"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_falls_silent_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert "timed out" in refused(wanted(f"http://127.0.0.1:{silent.getsockname()[1]}/file"), tmp_path)
