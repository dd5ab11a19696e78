"""Hostile result folders by accident: a user's own folder given as a result, and a user's files within a result."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

from support.robustness_results import MANIFEST
from support.robustness_variants import Build, Home, Variant, forged, no_file

# ---- C: a user's own folder ----


def _users(manifest: Any, *, raw: bytes | None = None) -> Build:
    def build(home: Home) -> None:
        home.put("chapter.txt", "words")
        home.put("figures/plot.png", "a plot")
        home.put("thesis/data.csv", "1,2")
        home.put("domains.csv", "my own domains")
        home.put(MANIFEST, "").write_bytes(json.dumps(manifest).encode() if raw is None else raw)

    return build


def _users_hidden(name: str, *, folder: bool, alone: bool) -> Build:
    def build(home: Home) -> None:
        home.put(f"{name}/photo.jpg" if folder else name, "mine")
        if folder:
            home.put(f"{name}/deep/er.txt", "mine too")
        if not alone:
            home.put("chapter.txt", "words")

    return build


def _users_signed(home: Home) -> None:
    """List a user's files in a valid manifest: an attacker's way to have them taken for an older result."""
    _users({})(home)
    names = [name for name in home.mine if name != MANIFEST]
    (home.result / MANIFEST).write_bytes(forged({name: no_file() for name in names}))


def users_folders() -> Iterator[Variant]:
    hashed = {"size": 5, "sha256": "0" * 64}
    for words, manifest in (
        ("files as a list", {"files": ["figures", "thesis"]}),
        ("files as a list of paths", {"files": ["thesis/data.csv", "../thesis/chapter.docx"]}),
        ("files with strings", {"files": {"thesis": "data", "figures/plot.png": "plot"}}),
        ("files with objects", {"files": {"thesis": {}, "../x": {}}}),
        ("files with hashes", {"files": {"thesis/data.csv": hashed, "chapter.txt": hashed}}),
        ("files with a version", {"version": 1, "files": {"thesis/data.csv": hashed}, "chunks": {}}),
        ("files as null", {"files": None}),
        ("files as a text", {"files": "thesis"}),
        ("a false hash of itself", {"version": 1, "files": {"figures": hashed}, "manifest_sha256": "0" * 64}),
        ("no files", {"name": "a browser extension", "manifest_version": 3}),
        ("a list", ["figures", "thesis"]),
        ("a number", 3),
        ("null", None),
        ("a text", "figures"),
        ("a web app's", {"short_name": "app", "icons": [{"src": "figures/plot.png"}], "start_url": "."}),
        ("nested", {"files": {"a": {"files": {"b": {}}}}}),
    ):  # fmt: skip
        yield Variant(f"a user's folder, its manifest has {words}", "", _users(manifest))
    for words, raw in (
        ("is empty", b""), ("is no JSON", b"dear reader"), ("is deep", b"[" * 100_000),
        ("is UTF-16", "{}".encode("utf-16")),
        ("has half a character", b'{"manifest_sha256": "\\ud800"}'),
        ("has NaN", b'{"manifest_sha256": NaN, "files": {}}'),
        ("has a huge number", b'{"files": ' + b"9" * 10_000 + b"}"),
    ):  # fmt: skip
        yield Variant(f"a user's folder, its manifest {words}", "", _users(None, raw=raw))
    yield Variant("a user's folder, all files listed in a whole manifest", "", _users_signed)
    for name, folder in (
        (".partial", True),
        (".ready", True),
        (".lock", False),
        (".partial", False),
        (".ready", False),
        (".lock", True),
    ):
        for alone in (True, False):
            what = "folder" if folder else "file"
            words = f"a user's {what} {name}" + (" alone" if alone else " among others")
            yield Variant(words, "", _users_hidden(name, folder=folder, alone=alone))
    yield Variant("a user's folder manifest.json", "", _users_hidden(MANIFEST, folder=True, alone=False))
    yield Variant("a user's folder without a manifest", "", _users_hidden("data", folder=True, alone=False))
    yield Variant("a user's folder run.json", "", _users_hidden("run.json", folder=True, alone=True))


# ---- D: a user's files in an older result ----


def _mine(*names: str) -> Build:
    def build(home: Home) -> None:
        for name in names:
            home.put(name, f"mine: {name}")

    return build


def _edited(name: str) -> Build:
    def build(home: Home) -> None:
        text = (home.result / name).read_bytes()
        home.put(name, "").write_bytes(text + b"\nmy remark\n")

    return build


def _in_place_of(name: str, *, folder: bool) -> Build:
    """Put a user's folder where a file of the result was, or a file where a folder was."""

    def build(home: Home) -> None:
        path = home.result / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        home.put(f"{name}/mine.txt" if folder else name, "mine")

    return build


def older_results() -> Iterator[Variant]:
    for base, names in (
        ("domains", ("figures/mine.txt",)), ("domains", ("section.zarr/mine.txt",)), ("domains", ("notes.txt",)),
        ("domains", (".notes",)), ("domains", ("figures/.DS_Store", "figures/deep/er/mine.txt")),
        ("domains", ("section.zarr/images/mine.tif", "embedding.zarr/c/mine")), ("domains", ("score.json",)),
        ("domains", ("kept-2026-01-01/older.txt",)),
        ("domains", ("report.html.bak", "domains (1).csv", "Ünïcode é.txt")),
        ("domains", ("nuclei/mine.csv", "maps/map.json")), ("fit", ("mine.txt", "figures/mine.txt")),
        ("map", ("maps/mine.txt", "maps/factors.zarr/mine.txt")),
        ("map", ("maps/mine.zarr/zarr.json", "cells/mine.txt")),
        ("domains", ("figures/a.new", ".report.html.new", "x.partial")), ("fit", (".stage-model/mine.txt",)),
        ("domains", ("cohort.json", "summary.csv", "summary.html")),
    ):  # fmt: skip
        yield Variant(f"a user's {', '.join(names)} in a result of {base}", base, _mine(*names))
    for base, name in (
        ("domains", "report.html"), ("domains", "domains.csv"), ("domains", "run.json"),
        ("domains", "section.zarr/zarr.json"),
        ("fit", "MODEL_CARD.md"), ("map", "maps/report.html"), ("domains", "preflight.json"),
    ):  # fmt: skip
        yield Variant(f"a user changed {name} of {base}", base, _edited(name))
    for base, name, folder in (
        ("domains", "domains.csv", True), ("domains", "figures", False), ("domains", "section.zarr", False),
        ("domains", "report.html", True), ("fit", "model.json", True), ("map", "maps/factors.zarr", False),
        ("map", "cells", False),
        ("domains", "run.json", True), ("domains", MANIFEST, True), ("fit", MANIFEST, False),
    ):  # fmt: skip
        words = f"a user's {'folder' if folder else 'file'} in the place of {name} of {base}"
        yield Variant(words, base, _in_place_of(name, folder=folder))
