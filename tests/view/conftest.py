"""One small result with domains, nuclei and maps, made once; the viewer on it, with and without a browser."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from histoscribe.view.server import make_app, serve

TOKEN = "a-token-of-the-tests"
HOST = "127.0.0.1:8000"


@pytest.fixture(scope="session")
def vendor(tmp_path_factory) -> Path:
    """SpaceRanger folder of a small phantom."""
    from histoscribe.phantom import make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("phantom") / "section"
    write_spaceranger(make_phantom(3, size_um=900.0, mpp=1.0, n_domains=3), folder)
    return folder


@pytest.fixture(scope="session")
def result(vendor, tmp_path_factory) -> Path:
    """A finished result of it, with nuclei and maps."""
    from histoscribe import MapSettings, RunConfig, map_section
    from histoscribe.run.verbs import run_sections

    out = tmp_path_factory.mktemp("finished") / "result"
    run_sections(vendor, out=out, config=RunConfig(encoder="morphology", n_domains=3, nuclei="classical"))
    map_section(vendor, genes="top:2", um=32, out=out, settings=MapSettings(encoder="none"))
    return out


@pytest.fixture
def own(result, tmp_path) -> Path:
    """A copy of the result that a test may damage."""
    return Path(shutil.copytree(result, tmp_path / "result"))


@pytest.fixture
def client_of() -> Iterator[Callable[..., TestClient]]:
    """Make a visitor of the viewer of some folders, one who has shown the token."""
    open_clients = []

    def made(*paths: Path, visited: bool = True) -> TestClient:
        client = TestClient(
            make_app(paths, token=TOKEN, hosts=[HOST]), base_url=f"http://{HOST}", raise_server_exceptions=True
        )
        open_clients.append(client.__enter__())
        if visited:
            client.get("/", params={"token": TOKEN})
        return client

    yield made
    for client in open_clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="session")
def address(result) -> str:
    """Address, token and all, of a viewer of the result that really listens."""
    urls, ready = [], threading.Event()

    def listening(url: str) -> None:
        urls.append(url)
        ready.set()

    threading.Thread(target=serve, args=([result],), kwargs={"ready": listening}, daemon=True).start()
    assert ready.wait(30)
    return urls[0]


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Debian's chromium; where it is missing the tests skip, and in CI they fail."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "no chromium here: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()
