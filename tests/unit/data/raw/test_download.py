"""Downloads from a server on this machine: interrupted, wrong and absent files."""

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
    """Offers /file. `cut`: bytes that it sends before it hangs up; `ranges`: whether it supports ranges."""

    cut: int | None = None
    ranges = True
    shift = 0
    content = CONTENT

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requested_ranges: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        requested, content = self.headers.get("Range"), self.server.content
        self.server.requested_ranges.append(requested)
        start = int(requested.removeprefix("bytes=").rstrip("-")) if requested and self.server.ranges else 0
        if self.path != "/file":
            self.send_error(404)
        elif start >= len(content):
            self.send_error(416)
        else:
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start + self.server.shift}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: self.server.cut])

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
    with serving() as started:
        yield started


def published(*urls, md5=MD5):
    return Download("file.gz", md5, urls)


def refused(download_, folder):
    with pytest.raises(UserError) as raised:
        download(download_, folder)
    return str(raised.value)


def test_a_download_is_checked_reports_progress_and_is_not_repeated(server, tmp_path):
    reports = []
    target = download(published(server.url), tmp_path / "new", lambda *report: reports.append(report))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.gz"]
    assert reports[-1] == ("file.gz", len(CONTENT), len(CONTENT))
    assert download(published(server.url), tmp_path / "new") == target
    assert server.requested_ranges == [None]


def test_an_interrupted_download_is_kept_and_resumed(server, tmp_path):
    server.cut = 300_000
    message = refused(published(server.url), tmp_path)
    assert "300,000 of 512,000 bytes" in message
    assert "run the command again to resume" in message
    assert (tmp_path / "file.gz.part").stat().st_size == 300_000
    assert not (tmp_path / "file.gz").exists()
    server.cut = None
    assert download(published(server.url), tmp_path).read_bytes() == CONTENT
    assert server.requested_ranges == [None, "bytes=300000-"]
    assert not (tmp_path / "file.gz.part").exists()


def test_a_server_without_ranges_sends_the_whole_file(server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert download(published(server.url), tmp_path).read_bytes() == CONTENT


def test_another_range_than_requested_is_not_appended(server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:1000])
    server.shift = 7
    assert "another range" in refused(published(server.url), tmp_path)
    assert (tmp_path / "file.gz.part").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more"])
def test_the_checksum_decides_if_a_part_is_complete_or_too_long(part, server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(part)
    if part == CONTENT:
        assert download(published(server.url), tmp_path).read_bytes() == CONTENT
    else:
        assert "it was removed" in refused(published(server.url), tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_is_removed_and_the_next_address_is_tried(server, tmp_path):
    server.content = b"<html>Please sign in</html>"
    message = refused(published(server.url), tmp_path)
    assert server.url in message
    assert f"expected {MD5}" in message
    assert list(tmp_path.iterdir()) == []
    with serving() as other:
        assert download(published(server.url, other.url), tmp_path).read_bytes() == CONTENT


def test_a_file_of_the_same_name_is_never_overwritten(server, tmp_path):
    (tmp_path / "file.gz").write_bytes(b"mine")
    assert "move it away" in refused(published(server.url), tmp_path)
    assert (tmp_path / "file.gz").read_bytes() == b"mine"
    assert not server.requested_ranges


def test_absent_files_and_absent_servers_are_reported(server, tmp_path):
    assert "the server answers 404" in refused(published(server.url + "s"), tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        unused = f"http://127.0.0.1:{free.getsockname()[1]}/file"
    assert "refused" in refused(published(unused), tmp_path)
    assert "http://nowhere.invalid/file" in refused(published("http://nowhere.invalid/file"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_abandoned(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert "timed out" in refused(published(f"http://127.0.0.1:{silent.getsockname()[1]}/file"), tmp_path)
