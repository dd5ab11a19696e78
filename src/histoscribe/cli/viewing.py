"""Verb that shows results: view."""

import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from histoscribe.cli.app import app, say
from histoscribe.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@app.command
def view(
    path: Path,
    *more: Path,
    port: int = 0,
    host: str = "127.0.0.1",
    open_page: Annotated[bool, Parameter(name="--open")] = True,
) -> int:
    """Look at results in the browser: the slide with its domains, genes, nuclei and maps on it.

    Tiles are cut from the results as they lie there; nothing is converted and nothing is written. The page asks this
    command and nobody else: it works without a network. Ctrl-C ends it.

    Parameters
    ----------
    path
        Result of a section, or folder with results of several.
    more
        Further ones, shown beside it.
    port
        To listen on; a free one where 0.
    host
        Address to listen on. With another than this computer's own, whoever knows the printed address sees the results.
    open_page
        Open the page in the browser; `--no-open` prints its address only.

    Raises
    ------
    ResultError
        Where a folder holds no result with a picture.
    ConfigError
        Where the extra `view` is not installed, or the port is taken.
    """
    try:
        from histoscribe.view.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "anyio"):
            raise
        raise ConfigError(
            "the viewer needs packages that are not installed",
            where="histoscribe view",
            found=f"no package {error.name}",
            fix="pip install 'histoscribe[view]'",
        ) from error

    def ready(url: str) -> None:
        say(f"viewer  {url}")
        if host not in LOOPBACK:
            say("note    other computers can reach this address: whoever has it, token and all, sees these results")
        say("stop    Ctrl-C")
        if open_page:
            webbrowser.open(url)

    try:
        serve([path, *more], port=port, host=host, ready=ready)
    except KeyboardInterrupt:  # how a viewer ends; nothing is left to go on with
        say("viewer  stopped")
    return 0
