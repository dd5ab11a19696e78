"""The viewer's server: addresses, threads and answers; it reads results and writes nothing."""

import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from histoscribe.errors import ConfigError, HistoscribeError, InputError, ResultError
from histoscribe.view import answers
from histoscribe.view.colours import COLOUR_MAPS, Scale, colour_table
from histoscribe.view.layers import Asked, draw
from histoscribe.view.opened import Library, Opened
from histoscribe.view.security import TOKEN, Guard
from histoscribe.view.tiles import error_tile, jpeg, png, slide_pixels, tile_window

STATIC = Path(__file__).parent / "static"
THREADS = 8  # tiles made at once: more would only share the same cores, and hold their pixels
THUMBNAIL_PX = 256
_FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
_NOT_KEPT = {"cache-control": "no-store"}
_NOTHING = png(np.zeros((1, 1, 4), np.uint8))


def make_app(paths: Sequence[Path], *, token: str, hosts: Sequence[str]) -> ASGIApp:
    """Build the viewer of some folders as an ASGI application.

    Parameters
    ----------
    paths
        Results of a section, or folders that hold results of several.
    token
        What a visitor has to show.
    hosts
        Names, with their port, under which the server is asked.

    Raises
    ------
    ResultError
        Where a folder holds no result with a picture.
    """
    library = Library(paths)

    @asynccontextmanager
    async def few_threads(app: Starlette) -> AsyncIterator[None]:
        import anyio.to_thread

        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    app = Starlette(
        routes=[
            Route("/", lambda request: FileResponse(STATIC / "index.html", headers=_NOT_KEPT)),
            Route("/api/sections", _in_thread(lambda request: _json({"sections": library.names}))),
            Route("/api/colours/{name}.png", _in_thread(_colour_strip)),
            Route("/api/sections/{section}", _asked(library, answers.section_facts)),
            Route("/api/sections/{section}/thumbnail.jpg", _in_thread(lambda request: _thumbnail(library, request))),
            Route("/api/sections/{section}/{version}/genes", _asked(library, answers.gene_names)),
            Route(
                "/api/sections/{section}/{version}/range/{layer}",
                _in_thread(lambda request: _range(library, request)),
            ),
            Route("/api/sections/{section}/{version}/spot", _in_thread(lambda request: _spot(library, request))),
            Route(
                "/tiles/{section}/{version}/{layer}/{level:int}/{column:int}_{row:int}",
                _in_thread(lambda request: _tile(library, request)),
            ),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={HistoscribeError: _explained},
        lifespan=few_threads,
    )
    return Guard(app, token=token, hosts=hosts)


def _in_thread(answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
    """Let a handler read files and compute without holding up the others."""

    async def handler(request: Request) -> Response:
        return await run_in_threadpool(answer, request)

    return handler


def _asked(library: Library, question: Callable[[Opened], Any]) -> Callable[[Request], Any]:
    return _in_thread(lambda request: _json(question(_opened(library, request))))


def _opened(library: Library, request: Request) -> Opened:
    return library.open(request.path_params["section"], version=request.path_params.get("version"))


def _json(value: Any) -> Response:
    return JSONResponse(value, headers=_NOT_KEPT)


def _range(library: Library, request: Request) -> Response:
    found = answers.range_of(_opened(library, request), request.path_params["layer"], _what(request.query_params))
    return _json(found)


def _spot(library: Library, request: Request) -> Response:
    query = request.query_params
    genes = [gene for gene in query.getlist("gene") if gene]
    found = answers.spot_at(_opened(library, request), _number(query, "x"), _number(query, "y"), genes)
    return _json(found)


def _thumbnail(library: Library, request: Request) -> Response:
    image = _opened(library, request).image
    pixels, _ = image.overview(max_side=THUMBNAIL_PX)
    return Response(jpeg(pixels), media_type="image/jpeg", headers=_NOT_KEPT)


def _colour_strip(request: Request) -> Response:
    """Colours of a map from low to high, one pixel tall."""
    return Response(png(colour_table(request.path_params["name"])[None]), media_type="image/png", headers=_FOR_EVER)


def _tile(library: Library, request: Request) -> Response:
    """Draw a tile; one that cannot be read is hatched, and says why in a header."""
    try:
        opened = _opened(library, request)
        pieces = opened.caches.tiles
        key = (request.url.path, request.url.query)
        held = pieces.made(key, lambda: np.frombuffer(_encoded(opened, request), np.uint8)).tobytes()
    except ResultError as error:
        problem = {"x-histoscribe-problem": quote(str(error), safe=" :/(),.'")}
        return Response(png(error_tile()), 500, problem | _NOT_KEPT, "image/png")
    kind = "image/jpeg" if request.path_params["layer"] == "slide" else "image/png"
    return Response(held, media_type=kind, headers=_FOR_EVER)


def _encoded(opened: Opened, request: Request) -> bytes:
    place, image = request.path_params, opened.image
    window = tile_window((image.width, image.height), place["level"], place["column"], place["row"])
    if place["layer"] == "slide":
        return jpeg(slide_pixels(image, window))
    drawn = draw(opened, place["layer"], _what(request.query_params), window)
    return _NOTHING if drawn is None else png(drawn)


def _what(query: QueryParams) -> Asked:
    """Read what a layer is to show from an address; raises ConfigError."""
    unit, colours = query.get("unit", "log"), query.get("colours", COLOUR_MAPS[0])
    if unit not in ("log", "counts"):
        raise ConfigError("there is no such unit", where="unit", expected="log or counts", found=unit)
    hidden = query.get("hidden", "")
    if not all(one.isdecimal() and len(one) < 7 for one in hidden.split(",") if one):
        raise ConfigError("hidden domains are numbers with commas between them", where="hidden", found=hidden)
    scale = Scale(_number(query, "low", 0.0), _number(query, "high", 1.0), colours, query.get("fade") == "1")
    return Asked(
        scale,
        gene=query.get("gene", ""),
        unit=unit,
        balanced=query.get("balanced") != "0",
        hidden=frozenset(int(one) for one in hidden.split(",") if one),
    )


def _number(query: QueryParams, name: str, default: float | None = None) -> float:
    text = query.get(name)
    if text is None and default is not None:
        return default
    try:
        value = float(text or "")
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ConfigError("a finite number is needed", where=name, found=text)
    return value


def _explained(request: Request, error: Exception) -> Response:
    """Answer with the error's own words."""
    status = 404 if isinstance(error, InputError) else 400 if isinstance(error, ConfigError) else 409
    return JSONResponse({"problem": str(error)}, status, headers=_NOT_KEPT)


def serve(
    paths: Sequence[Path], *, port: int = 0, host: str = "127.0.0.1", ready: Callable[[str], None] = lambda url: None
) -> None:
    """Serve until stopped.

    Parameters
    ----------
    paths
        Results of a section, or folders that hold results of several.
    port
        To listen on; a free one where 0.
    host
        Address to listen on; another than the loopback lets other computers in that show the token.
    ready
        Called with the page's address, token and all, once the server listens.

    Raises
    ------
    ResultError
        Where a folder holds no result with a picture.
    ConfigError
        Where the port is taken.
    """
    token = secrets.token_urlsafe(24)
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(
            "cannot listen there",
            where=f"{host}:{port}",
            found=error,
            fix="give another --port, or none to take a free one",
        ) from error
    with listening:
        port = listening.getsockname()[1]
        named = f"[{host}]" if ":" in host else host
        hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", named)]
        app = make_app(paths, token=token, hosts=hosts)
        ready(f"http://{named}:{port}/?{TOKEN}={token}")
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])
