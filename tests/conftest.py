"""Fixtures that every room's tests share."""

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[1]


class NetworkUsedError(RuntimeError):
    """A test reached for the network; no OSError, so that it is not taken for a network that is down."""


def _is_here(host: Any) -> bool:
    """Whether a host is this very machine: no name, a loopback address, or the machine's own name."""
    text = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text.lower() in ("localhost", "localhost.localdomain", socket.gethostname().lower())
    return address.is_loopback or address.is_unspecified


def _guarded(function: Callable[..., Any], place: int, host_of: Callable[[Any], Any]) -> Callable[..., Any]:
    """Give the same function for this machine; for any other it raises at once."""

    def guard(*arguments: Any, **options: Any) -> Any:
        host = host_of(arguments[place]) if len(arguments) > place else options.get("host")
        if not _is_here(host):
            raise NetworkUsedError(
                f"{function.__name__}: a test reached for {host!r}. Tests run offline: serve what is needed from "
                "127.0.0.1, or make it a phantom"
            )
        return function(*arguments, **options)

    return guard


def _host_of_address(address: Any) -> Any:
    # a Unix socket's address is a path
    return address[0] if isinstance(address, tuple) else None


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Let no test reach another machine, by a connection, a datagram or the look-up of a name.

    Processes that tests start are not held by this. For these too, run the tests where there is no network:
    `unshare --map-root-user --net sh -c 'ip link set lo up; pytest'`.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.lower().endswith("_proxy"):  # on this machine it would still lead out
                patch.delenv(name)
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name), -1, _host_of_address))
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
            patch.setattr(socket, name, _guarded(getattr(socket, name), 0, lambda host: host))
        yield


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes minutes in one process first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name != "test_robustness.py")
