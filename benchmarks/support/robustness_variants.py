"""Hostile result folders: what an attacker can send, and what a user's own folder may happen to hold.

Each lies as `home/result`, among a user's own things. A manifest is valid by its own hash, which anybody can compute.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.robustness_results import MANIFEST, signed

THESIS, CHAPTER, NOTE = "thesis", "thesis/chapter.docx", "x"

# what no result can hold, and what a system might take for a place outside; HOME stands for the user's folder
NAMES = (
    "../x", "../thesis", "../thesis/chapter.docx", "../../x", "a/../../x", "a/../../thesis/chapter.docx", "..", ".", "",
    "/", "HOME/x", "HOME/thesis", "HOME/thesis/chapter.docx", "//HOME/x", "./../x", "a//../../x", "..\\x",
    "a\\..\\..\\x", "\\x", "C:\\x", "C:x", "a/..", "a/.", "./a", "a//b", "a/", "x\0y", "\0", "~/x", "$HOME/x",
    "manifest.json",
    "run.json/a", ".lock", ".partial/a", ".ready/a", ".partial/stages.json", "kept-2026-01-01/a", "a\n../x", "a" * 5000,
    "/".join(["a"] * 3000), "\u202e../x", "．．/x", "..\u2215x", "CON", "nul", "a:b", "link/x", "link/chapter.docx",
)  # fmt: skip


# the stages of every command, under whose names a forged record or draft would be taken up
STAGES = (
    "check", "embed", "nuclei", "domains", "describe", "cells", "training", "maps", "section", "report", "model",
)  # fmt: skip


@dataclass(slots=True)
class Home:
    """A user's folder with a hostile result in it.

    Parameters
    ----------
    base
        Command that made the result, or "user" for a folder that never was a result.
    mine
        Files, links and folders below `result` that are the user's: they may be moved aside, never lost.
    planted
        Files below `result` that an attacker wants to be taken for output of a new run.
    """

    path: Path
    base: str
    mine: list[str] = field(default_factory=list)
    planted: list[str] = field(default_factory=list)

    @property
    def result(self) -> Path:
        """The hostile folder."""
        return self.path / "result"

    def put(self, name: str, text: str, *, mine: bool = True) -> Path:
        """Write a file below the result."""
        path = self.result / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        if mine:
            self.mine.append(name)
        return path

    def link(self, name: str, target: str | Path) -> None:
        """Put a link in the place of whatever bears the name below the result."""
        path = self.result / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def manifest(self) -> Any:
        """Read the manifest of the result that lies there."""
        return json.loads((self.result / MANIFEST).read_bytes())


Build = Callable[[Home], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """One hostile folder.

    Parameters
    ----------
    base
        Command that made the result, "" for none.
    build
        What makes it hostile.
    then
        Another command that is tried with it, where it must be one that keeps what lies there; by turns where empty.
    """

    name: str
    base: str
    build: Build
    then: str = ""


def furnish(home: Path) -> None:
    """Write the user's own things beside the result."""
    (home / THESIS).mkdir(parents=True)
    (home / CHAPTER).write_text("ten years of work")
    (home / NOTE).write_text("a note")
    (home / "a").mkdir()
    (home / "a" / "b.txt").write_text("another")


def no_file() -> dict[str, Any]:
    """Return a manifest's entry for a file that does not exist."""
    return {"size": 1, "sha256": "0" * 64}


def _facts(path: Path | None = None) -> dict[str, Any]:
    from histoscribe.store.files import sha256_file

    if path is None or not path.is_file():
        return no_file()
    return {"size": path.stat().st_size, "sha256": sha256_file(path)}


def draft_record(stages: Any) -> bytes:
    """Write the record of a draft with its own hash, in the present form, so that a writer goes on with the draft."""
    from histoscribe.store.draft import _STAGE_VERSION
    from histoscribe.store.files import canonical, fingerprint

    record = {"version": _STAGE_VERSION, "stages": stages, "sha256": fingerprint(stages), "set_aside": []}
    return canonical(record)


def _stage(files: Any) -> dict[str, Any]:
    return {"key": "k", "made_of": {}, "facts": {}, "files": files}


def forged(files: dict[str, Any], **more: Any) -> bytes:
    """Write a manifest that is whole by its own hashes."""
    from histoscribe.store.files import fingerprint

    content = {name: facts["sha256"] for name, facts in files.items() if name != "run.json"}
    manifest = {"version": 1, "files": files, "chunks": {}, "content_sha256": fingerprint(content)}
    return signed(manifest | more)


# ---- A: names in manifests and in the record of a draft ----


def _named(home: Home, name: str) -> tuple[str, dict[str, Any]]:
    named = name.replace("HOME", str(home.path))
    target = home.result / named if "\0" not in named and len(named) < 4000 else None
    home.link("link", "../thesis") if named.startswith("link/") else None
    return named, _facts(target)


def _name_in_older(name: str) -> Build:
    """In the manifest of a result that is otherwise whole, with a complete empty draft waiting to replace it."""

    def build(home: Home) -> None:
        named, facts = _named(home, name)
        manifest = home.manifest()
        manifest["files"][named] = facts
        (home.result / MANIFEST).write_bytes(forged(manifest["files"], chunks=manifest["chunks"]))
        ready = home.result / ".ready"
        ready.mkdir()
        record = (home.result / "run.json").read_bytes()
        (ready / "run.json").write_bytes(record)
        (ready / MANIFEST).write_bytes(forged({"run.json": _facts(ready / "run.json")}))

    return build


def _name_alone(name: str) -> Build:
    """In a manifest that stands nearly alone, without a waiting draft."""

    def build(home: Home) -> None:
        named, facts = _named(home, name)
        home.put("run.json", "{}\n", mine=False)
        (home.result / MANIFEST).write_bytes(forged({"run.json": _facts(home.result / "run.json"), named: facts}))

    return build


def _name_in_ready(name: str) -> Build:
    """In the manifest of the waiting draft."""

    def build(home: Home) -> None:
        named, facts = _named(home, name)
        ready = home.result / ".ready"
        ready.mkdir()
        (ready / "run.json").write_text("{}\n")
        (ready / MANIFEST).write_bytes(forged({"run.json": _facts(ready / "run.json"), named: facts}))

    return build


def _name_in_stages(name: str, *, older_form: bool = False) -> Build:
    """In the record of an unfinished draft."""

    def build(home: Home) -> None:
        from histoscribe.store.files import canonical

        named, facts = _named(home, name)
        stages = dict.fromkeys((*STAGES, "a"), _stage({named: facts}))
        (home.result / ".partial").mkdir()
        (home.result / ".partial" / "stages.json").write_bytes(
            canonical(stages) if older_form else draft_record(stages)
        )

    return build


def _names() -> Iterator[Variant]:
    for k, name in enumerate(NAMES):
        short = name if len(name) < 40 else f"{name[:20]}... ({len(name)} characters)"
        yield Variant(f"older manifest names {short!r}", ("domains", "fit", "map")[k % 3], _name_in_older(name))
    for name in NAMES[::3]:
        yield Variant(f"manifest alone names {name[:40]!r}", "", _name_alone(name))
    for name in NAMES[1::3]:
        yield Variant(f"waiting draft names {name[:40]!r}", "domains", _name_in_ready(name))
    for k, name in enumerate(NAMES[2::3]):
        yield Variant(f"stages name {name[:40]!r}", ("", "domains")[k % 2], _name_in_stages(name))
    for name in ("../x", "HOME/thesis/chapter.docx", "a/../../thesis/chapter.docx"):
        yield Variant(f"stages in the older form name {name!r}", "", _name_in_stages(name, older_form=True))


# ---- B: links ----


def _linked(name: str, target: str) -> Build:
    def build(home: Home) -> None:
        home.link(name, target)
        home.mine.append(name)

    return build


def _link_to_copy(name: str) -> Build:
    """Move a file of the result to another place of the user's, and leave a link to it behind."""

    def build(home: Home) -> None:
        real = home.path / "moved" / Path(name).name
        real.parent.mkdir(exist_ok=True)
        (home.result / name).rename(real)
        home.link(name, real)

    return build


def _folder_is_link(target: str) -> Build:
    def build(home: Home) -> None:
        if target == "COPY":
            home.result.rename(home.path / "real")
        elif home.result.exists():
            shutil.rmtree(home.result)
        home.result.symlink_to("real" if target == "COPY" else target)

    return build


def _draft_with_link(home: Home) -> None:
    home.put(".partial/stages.json", "", mine=False).write_bytes(draft_record({}))
    home.link(".partial/figures", "../../thesis")
    home.link(".partial/.stage-domains", "../../thesis")


def _links() -> Iterator[Variant]:
    for target in ("thesis", "COPY", "nowhere", "result", ".", "..", "x"):
        yield Variant(f"the folder is a link to {target}", "domains", _folder_is_link(target))
    for name, target in (
        ("figures", "../thesis"), ("section.zarr", "../thesis"), ("figures", ".."), ("report.html", "../x"),
        ("domains.csv", "../x"), ("figures", "nowhere"), ("domains.csv", "domains.csv"), (MANIFEST, "../x"),
        (MANIFEST, "nowhere"), (MANIFEST, MANIFEST), ("run.json", "../x"), (".lock", "../x"), (".lock", "nowhere"),
        (".lock", "../new"), (".partial", "../thesis"), (".partial", "nowhere"), (".partial", "../x"),
        (".ready", "../thesis"), (".ready", "nowhere"), (".ready", "../x"), (".ready", "."), (".partial", "."),
        ("section.zarr/images", "../../thesis"), ("kept-2026-01-01", "../thesis"), (".manifest.json.new", "../x"),
    ):  # fmt: skip
        yield Variant(f"{name} is a link to {target}", "domains", _linked(name, target))
    for name in ("domains.csv", "report.html", "figures", MANIFEST, "run.json"):
        yield Variant(f"{name} was moved and linked", "domains", _link_to_copy(name))
    for name, base in (
        ("model.json", "fit"),
        ("weights.safetensors", "fit"),
        ("maps/map.json", "map"),
        ("maps/factors.zarr", "map"),
        ("cells", "map"),
    ):
        yield Variant(f"{name} was moved and linked", base, _link_to_copy(name))
    yield Variant("an unfinished draft holds links", "", _draft_with_link)
    for name in (".lock", ".partial", ".ready"):
        yield Variant(
            f"{name} is a link in an empty folder", "", _linked(name, "../thesis" if name != ".lock" else "../x")
        )


# ---- F: planted working files, and things that are no files ----


def _planted_stage(home: Home) -> None:
    """Plant a whole draft of a stage that no run has: its files must not become part of a new result."""
    for name in ("planted.html", "figures/planted.png"):
        home.put(f".partial/{name}", f"planted {name}", mine=False)
    files = {name: _facts(home.result / ".partial" / name) for name in ("planted.html", "figures/planted.png")}
    (home.result / ".partial" / "stages.json").write_bytes(draft_record({"zz": _stage(files)}))
    home.planted += [f".partial/{name}" for name in files]


def _stages_text(text: bytes) -> Build:
    """Plant a text as the record of a draft; VERSION in it stands for the present one."""

    def build(home: Home) -> None:
        from histoscribe.store.draft import _STAGE_VERSION

        written = text.replace(b"VERSION", str(_STAGE_VERSION).encode())
        home.put(".partial/stages.json", "", mine=False).write_bytes(written)

    return build


def _stages_are(stages: Any) -> Build:
    """Plant a record of a draft with a true hash, in which the stages themselves are not what they must be."""

    def build(home: Home) -> None:
        home.put(".partial/stages.json", "", mine=False).write_bytes(draft_record(stages))

    return build


def _ready_sets_aside(names: Any) -> Build:
    """Let a waiting draft, whole by its own hashes, say which stages of the older result are to be moved aside."""

    def build(home: Home) -> None:
        home.put(".ready/run.json", "{}\n", mine=False)
        home.put(".ready/stages.json", json.dumps({"set_aside": names}), mine=False)
        home.put(f".ready/{MANIFEST}", "", mine=False).write_bytes(
            forged({"run.json": _facts(home.result / ".ready/run.json")})
        )

    return build


def _ready_empty_manifest(home: Home) -> None:
    home.put(f".ready/{MANIFEST}", "", mine=False).write_bytes(forged({}))


def _ready_other_bytes(home: Home) -> None:
    home.put(".ready/run.json", "{}\n", mine=False)
    home.put(".ready/domains.csv", "planted", mine=False)
    home.put(f".ready/{MANIFEST}", "", mine=False).write_bytes(
        forged({"run.json": _facts(home.result / ".ready/run.json"), "domains.csv": no_file()})
    )
    home.planted.append(".ready/domains.csv")


def _special(name: str, kind: str) -> Build:
    """Put a pipe or a socket, which blocks its reader, in the place of a file."""

    def build(home: Home) -> None:
        path = home.result / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        else:
            import socket

            with socket.socket(socket.AF_UNIX) as made:
                made.bind(os.path.relpath(path))

    return build


def _planted() -> Iterator[Variant]:
    for base in ("", "domains"):
        yield Variant(f"a planted stage that no run has ({base or 'alone'})", base, _planted_stage)
        yield Variant(f"a waiting draft without files ({base or 'alone'})", base, _ready_empty_manifest)
        yield Variant(f"a waiting draft of other bytes ({base or 'alone'})", base, _ready_other_bytes)
    for words, text in (
        ("a list", b"[]"), ("null", b"null"), ("no JSON", b"{"), ("deep", b"[" * 100_000), ("a number", b"7"),
        ("without their hash", b'{"version": VERSION, "stages": {}}'),
        ("of an older version", b'{"version": 2, "stages": {}, "sha256": ""}'),
        ("half a character", b'{"version": VERSION, "stages": {"check": "\\ud800"}, "sha256": ""}'),
    ):  # fmt: skip
        yield Variant(f"planted stages are {words}", "", _stages_text(text))
    for words, stages in (
        ("texts", {"check": "x"}), ("a list", ["check"]), ("without files", {"check": _stage(None)}),
        ("with files as a list", {"check": _stage(["run.json"])}),
    ):  # fmt: skip
        yield Variant(f"planted stages with a true hash are {words}", "", _stages_are(stages))
    for words, names in (
        ("all stages", list(STAGES)), ("no names", [{}, 3, None]), ("a text", "domains"), ("places", ["..", "/"]),
    ):  # fmt: skip
        yield Variant(f"a waiting draft sets aside {words}", "domains", _ready_sets_aside(names))
    for name, base, kind in (
        (MANIFEST, "domains", "pipe"), ("run.json", "domains", "pipe"), ("domains.csv", "domains", "pipe"),
        (".lock", "domains", "pipe"), (".partial/stages.json", "domains", "pipe"),
        (f".ready/{MANIFEST}", "domains", "pipe"),
        ("model.json", "fit", "pipe"), ("maps/map.json", "map", "pipe"), (".partial", "domains", "pipe"),
        (MANIFEST, "fit", "socket"),
    ):  # fmt: skip
        yield Variant(f"{name} of {base} is a {kind}", base, _special(name, kind))


def attacks() -> Iterator[Variant]:
    """All that an attacker can send."""
    yield from _names()
    yield from _links()
    yield from _planted()
