"""The whole job on a synthetic section with a known truth: no network, no weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from histoscribe.errors import InputError
from histoscribe.io import read
from histoscribe.io.labels import read_labels
from histoscribe.io.preflight import break_coordinates, preflight
from histoscribe.io.reading import Request
from histoscribe.phantom import Phantom, make_phantom, write_spaceranger
from histoscribe.run.events import Listener, silent, stage_event
from histoscribe.run.identity import code_fingerprint
from histoscribe.run.section.chain import run_section
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.several import Outcome
from histoscribe.store.files import fingerprint
from histoscribe.store.result import writing_result

SEED = 0


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made: the vendor folder it wrote, and how its run ended."""

    vendor_folder: Path
    outcome: Outcome


def demo(
    out: Path | str = "demo_result", *, corrupt: Literal["swap", "scale"] | None = None, listen: Listener = silent
) -> Demo:
    """Draw a section with known domains, write it as SpaceRanger would, run the whole job on it, score the result.

    Parameters
    ----------
    out
        Folder to write: `section/`, the vendor folder with its truth beside it, and `result/`.
    corrupt
        Corrupt the coordinates on purpose, to see the refusal and its evidence.
    listen
        Called with every event of the run.

    Returns
    -------
    Where everything lies, and the agreement with the truth beside its floors.

    Raises
    ------
    InputError
        With `corrupt`: the refusal.
    """
    out = Path(out)
    vendor = out / "section"
    listen(stage_event("draw", "started", section="phantom"))
    phantom = make_phantom(SEED)
    with writing_result(vendor) as draft:  # so that nothing of a user's in a folder of this name is overwritten
        draft.stage("section", fingerprint({"code": code_fingerprint()}), lambda to: _written(phantom, to))
        draft.publish({"section": "phantom", "seed": SEED})
    listen(stage_event("draw", "done", section="phantom"))
    request = Request(path=vendor, section="phantom")
    if corrupt is not None:
        from dataclasses import replace

        reading = read(request)
        broken = preflight(replace(reading, section=break_coordinates(reading.section, corrupt)))
        broken.raise_if_refused()
        raise InputError("the corrupted coordinates were not refused; please report this", where="demo")
    config = RunConfig(encoder="morphology", n_domains=phantom.n_domains, seed=SEED)
    labels = read_labels(vendor / "truth.csv", column="domain")
    outcome = run_section(request, out=out / "result", config=config, listen=listen, labels=labels)
    return Demo(vendor, outcome)


def _written(phantom: Phantom, to: Path) -> dict[str, Any]:
    write_spaceranger(phantom, to)
    return {}
