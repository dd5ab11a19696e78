"""What is fetched comes by https (here: from this machine), stays on such addresses, and ends."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from histoscribe.errors import WeightsError
from histoscribe.store import fetch as room
from histoscribe.store.fetch import fetch, url_problem

CONTENT = b"weights" * 1000


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        kind, _, onward = self.path[1:].partition("?")
        self.send_response(302 if kind == "to" else 200)
        if kind == "to":
            self.send_header("Location", onward)
        self.end_headers()
        if kind == "file":
            self.wfile.write(CONTENT)
        elif kind == "endless":
            for _ in range(1000):
                self.wfile.write(b"\0" * 100_000)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetched(url, folder, sha256=None):
    return fetch(url, sha256=sha256, target=folder / "w", where="here", fix="do without")


def test_a_file_is_fetched_and_kept(address, tmp_path):
    assert fetched(f"{address}/file", tmp_path).read_bytes() == CONTENT


def test_a_redirect_to_an_address_of_the_same_kind_is_followed(address, tmp_path):
    assert fetched(f"{address}/to?{address}/file", tmp_path).read_bytes() == CONTENT
    assert fetched(f"{address}/to?/file", tmp_path / "b").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "onward", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://example.org/x", "//example.org/x"]
)
def test_a_redirect_elsewhere_is_not_followed(address, tmp_path, onward):
    with pytest.raises(WeightsError, match="sends on to"):
        fetched(f"{address}/to?{onward}", tmp_path)
    assert not (tmp_path / "w").exists()


def test_an_endless_file_ends_and_is_not_kept(address, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "MOST_BYTES", 10**6)
    with pytest.raises(WeightsError, match="larger than"):
        fetched(f"{address}/endless", tmp_path)
    assert list(tmp_path.glob("*")) == []


def test_an_address_that_is_not_followed_is_refused_without_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket", lambda *arguments, **options: pytest.fail("the network was used"))
    with pytest.raises(WeightsError, match="must begin with https"):
        fetched("file:///etc/passwd", tmp_path)


@pytest.mark.parametrize("url", ["https://a.b/c", "https://a.b:8443/c?d=e", "http://localhost:80/x", "http://[::1]/x"])
def test_these_addresses_are_followed(url):
    assert url_problem(url) is None


def test_https_is_never_left_for_plain_http(monkeypatch):
    class Answer:
        is_redirect, url, headers = True, "https://a.b/c", {"location": "http://127.0.0.1/x"}

    with pytest.raises(ValueError, match="must begin with https"):
        room._follow_no_other_scheme(Answer())
