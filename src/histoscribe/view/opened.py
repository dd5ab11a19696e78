"""Sections that can be looked at, found in the folders that were opened, each known by name and by version.

The version is a hash of when the manifest was written, and of its size and place. It stands in the address of every
tile, so that a browser may keep tiles for ever, and a result that was written anew, or removed, is noticed before
anything of two results is mixed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError, ResultError, nearest
from histoscribe.maps.read import Maps, read_maps
from histoscribe.run.section.files import MAPS, SECTION
from histoscribe.section import IMAGE, TABLE
from histoscribe.slide.image import SlideImage
from histoscribe.slide.sources import BoundedCache
from histoscribe.store.files import read_json
from histoscribe.store.manifest import MANIFEST, RECORD
from histoscribe.store.result import read_result
from histoscribe.view.pyramid import ChunkedSource, open_pyramid
from histoscribe.view.spots import UNDER, Spots, read_spots
from histoscribe.view.tiles import Window

CACHE_MB = 256


class Caches:
    """What is kept in memory for everything that is open, within `CACHE_MB` together."""

    def __init__(self, megabytes: int = CACHE_MB) -> None:
        quarter = megabytes * 2**18
        self.chunks, self.under, self.tiles, self.values = (BoundedCache(quarter) for _ in range(4))


@dataclass(frozen=True, eq=False)
class Opened:
    """A section of a result.

    Parameters
    ----------
    name
        By which it is asked for.
    folder
        Of the result.
    version
        Of the result, a hash.
    caches
        Shared.
    """

    name: str
    folder: Path
    version: str
    caches: Caches
    _lock: Any = field(default_factory=Lock, repr=False)

    @cached_property
    def image(self) -> SlideImage:
        """The picture; raises ResultError where the result holds none."""
        pyramid = open_pyramid(self.folder / SECTION / "images" / IMAGE, self.caches.chunks)
        return SlideImage(pyramid, mpp=pyramid.mpp, path=self.folder)

    @property
    def mpp(self) -> float | None:
        """Microns per level-0 pixel."""
        return self.image.mpp

    @cached_property
    def record(self) -> dict[str, Any]:
        """The result's `run.json`."""
        found: dict[str, Any] = read_json(self.folder / RECORD)
        return found

    @property
    def has_spots(self) -> bool:
        """Whether the result has a table of spots."""
        return (self.folder / SECTION / "tables" / TABLE / "zarr.json").is_file()

    @property
    def has_maps(self) -> bool:
        """Whether the result holds maps finer than the spots."""
        return (self.folder / MAPS / "map.json").is_file()

    def has_labels(self, name: str) -> bool:
        """Whether the result has labels "tissue" or "nuclei"."""
        return (self.folder / SECTION / "labels" / name / "zarr.json").is_file()

    def require_spots(self) -> Spots:
        """Return the spots; raises InputError where the section has none."""
        if not self.has_spots:
            raise InputError("this section is a picture without spots", where=self.name)
        with self._lock:
            return self._spots

    def require_maps(self) -> Maps:
        """Return the maps, read and compared with the manifest once; raises InputError where there are none."""
        if not self.has_maps:
            raise InputError("this section has no maps", where=self.name, fix="make them: histoscribe map")
        with self._lock:
            return self._maps

    def require_labels(self, name: str) -> ChunkedSource:
        """Return labels; raises InputError where the section has none of that name."""
        if not self.has_labels(name):
            raise InputError(f"this section has no {name}", where=self.name)
        with self._lock:
            if name not in self._labels:
                self._labels[name] = open_pyramid(self.folder / SECTION / "labels" / name, self.caches.chunks)
            return self._labels[name]

    def gene(self, name: str, unit: str) -> NDArray[np.floating]:
        """Values of a measured gene on all spots, (n,)."""
        spots = self.require_spots()
        return self.caches.values.made((self.version, name, unit), lambda: spots.gene(name, unit=unit))

    def spots_under(self, window: Window) -> NDArray[np.void] | None:
        """Which spot lies under each pixel of a tile, see `Spots.under`; None where there is none."""
        found = self.caches.under.made((self.version, window), lambda: self._found_under(window))
        return found if found.size else None

    def _found_under(self, window: Window) -> NDArray[np.void]:
        found = self.require_spots().under(window)
        return np.empty(0, UNDER) if found is None else found

    @cached_property
    def _spots(self) -> Spots:
        return read_spots(self.folder / SECTION / "tables" / TABLE, mpp=self.mpp or 1.0)

    @cached_property
    def _maps(self) -> Maps:
        return read_maps(self.folder)

    @cached_property
    def _labels(self) -> dict[str, ChunkedSource]:
        return {}


class Library:
    """The sections of all folders that were opened.

    Parameters
    ----------
    paths
        Results of a section, or folders that hold results of several.

    Raises
    ------
    ResultError
        Where a folder holds no result.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.folders: dict[str, Path] = {}
        self._caches, self._open, self._lock = Caches(), dict[str, Opened](), Lock()
        for path in paths:
            for folder in _results_in(path.absolute()):
                self.folders[self._free_name(folder)] = folder

    @property
    def names(self) -> list[str]:
        """Names of the sections, in the order in which they were opened."""
        return list(self.folders)

    def open(self, name: str, *, version: str | None = None) -> Opened:
        """Return a section as it is now.

        Parameters
        ----------
        version
            The version that is asked about; any where None.

        Raises
        ------
        InputError
            Where no such section was opened.
        ResultError
            Where its result is gone, damaged, or not of that version any more.
        """
        if name not in self.folders:
            raise InputError(f"no section {name!r} is open", where="section", fix=nearest(name, self.folders))
        folder = self.folders[name]
        now = _version(folder)
        if version is not None and version != now:
            raise ResultError(
                "this result was written anew since the page was opened", where=name, fix="reload the page"
            )
        with self._lock:
            if name not in self._open or self._open[name].version != now:
                read_result(folder)
                self._open[name] = Opened(name, folder, now, self._caches)
            return self._open[name]

    def _free_name(self, folder: Path) -> str:
        named = read_json(folder / RECORD).get("section") or folder.name
        taken = [name for name in self.folders if name == named or name.startswith(f"{named} ")]
        return f"{named} ({len(taken) + 1})" if taken else str(named)


def _results_in(path: Path) -> list[Path]:
    """Folders of results: `path` itself, or those in it."""
    below = [] if (path / MANIFEST).is_file() else sorted(one.parent for one in path.glob(f"[!.]*/{MANIFEST}"))
    found = [folder for folder in below or [path] if not below or (folder / SECTION).is_dir()]
    for folder in found:
        read_result(folder)
        if not (folder / SECTION / "images" / IMAGE).is_dir():
            raise ResultError(
                "this result holds no picture to look at",
                where=folder,
                expected=f"{SECTION} with the section's picture",
                fix="make a result with `histoscribe run`, `domains`, `nuclei` or `map`",
            )
    if not found:
        raise ResultError("none of the results in this folder holds a picture to look at", where=path)
    return found


def _version(folder: Path) -> str:
    """Return what tells one manifest from the next; raises ResultError where it is gone."""
    try:
        status = (folder / MANIFEST).stat()
    except OSError as error:
        raise ResultError(
            "this result was moved or deleted since it was opened",
            where=folder.name,
            fix="put it back, or start `histoscribe view` with the folder where it is now",
        ) from error
    return hashlib.sha256(f"{status.st_mtime_ns} {status.st_size} {status.st_ino}".encode()).hexdigest()[:16]
