"""Fixtures that every room's tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable, _ROOT / default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"no folder {folder.name!r}: set {variable} to where it lies")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the tests measure and fetch out of the user's cache folder, and theirs out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HISTOSCRIBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real sections; tests that need them skip where they are absent."""
    return _folder("HISTOSCRIBE_TEST_DATA", "../shared/data")


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """Real pretrained encoders; tests that need them skip where they are absent."""
    return _folder("HISTOSCRIBE_TEST_WEIGHTS", "../shared/weights")
