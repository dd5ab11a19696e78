"""Files from the network: by https alone, wherever they are sent on to, of bounded size, and checked by their hash.

An address may stand in a card that somebody sent, so it is not trusted: only https is followed (plain http on this very
machine), and a redirect must lead to such an address again. What comes is compared with its sha256 before it is used.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from histoscribe.errors import WeightsError

# of the largest published encoders 4.5 GB; a server that never ends must not fill the disk
MOST_BYTES = 32 * 2**30
_TIMEOUT_S = 30
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"[A-Za-z0-9.:\-]+")


def url_problem(url: str) -> str | None:
    """Say why an address is not followed; None where it is."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises where it is no number
    except ValueError:
        return "is no address"
    if parts.scheme not in ("https", "http"):
        return "must begin with https://"
    if parts.username is not None or parts.password is not None:
        return "must not hold a name or password: it is written into every record"
    if not _HOST.fullmatch(host):
        return "names no host"
    if parts.scheme == "http" and host not in _THIS_MACHINE:
        return "must begin with https:// (http is for this machine alone)"
    return None


def fetch(url: str, *, sha256: str | None, target: Path, where: str, fix: str) -> Path:
    """Fetch a file once; what lies at `target` already is used where its hash is right.

    Parameters
    ----------
    url
        Where it is.
    sha256
        Of the file; None where its authors publish none.
    target
        Where it is kept.
    where, fix
        For messages: who asks for it, and what to do without it.

    Raises
    ------
    WeightsError
        Where the address is not followed, or what it gives is not what was expected.
    """
    import pooch

    problem = url_problem(url)
    if problem:
        raise WeightsError(f"the address of the weights {problem}", where=where, found=url, fix=fix)
    known = f"sha256:{sha256}" if sha256 else None
    downloader = pooch.HTTPDownloader(
        progressbar=_Count(), chunk_size=2**18, timeout=_TIMEOUT_S, hooks={"response": _follow_no_other_scheme}
    )
    try:
        pooch.retrieve(url, known, path=target.parent, fname=target.name, downloader=downloader)
    except (OSError, ValueError) as error:  # no connection, no such page; or another hash, which pooch deletes
        raise WeightsError(
            "the weights cannot be fetched",
            where=where,
            expected=url if sha256 is None else f"{url} with sha256 {sha256}",
            found=error,
            fix=fix,
        ) from error
    return target


def _follow_no_other_scheme(response: Any, *_: Any, **__: Any) -> None:
    """Check a redirect before it is followed; raises ValueError."""
    if not response.is_redirect:
        return
    onward = urljoin(response.url, response.headers["location"])
    problem = url_problem(onward)
    if problem is None and urlsplit(response.url).hostname not in _THIS_MACHINE:
        problem = None if urlsplit(onward).scheme == "https" else "must begin with https://"
    if problem:
        raise ValueError(f"the server sends on to {onward}, which {problem}")


class _Count:
    """What pooch takes for a progress bar: counts what has come."""

    def __init__(self) -> None:
        self.total = 0
        self._come = 0

    def update(self, n_bytes: int) -> None:
        """Count a piece; raises ValueError where it is too much."""
        self._come += n_bytes
        if max(self._come, self.total) > MOST_BYTES:
            raise ValueError(f"the file is larger than {MOST_BYTES / 2**30:,.0f} GB")

    def reset(self) -> None:
        """Begin again, as pooch does at the end."""
        self._come = 0

    def close(self) -> None:
        """Do nothing: there is nothing to close."""
