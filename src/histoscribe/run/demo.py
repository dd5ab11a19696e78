"""The whole job on a synthetic section whose truth is known: no network, no weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from histoscribe.errors import InputError
from histoscribe.io import read
from histoscribe.io.preflight import break_coordinates, preflight
from histoscribe.io.reading import Request
from histoscribe.phantom import make_phantom, write_spaceranger
from histoscribe.run.config import RunConfig
from histoscribe.run.events import Listener, silent
from histoscribe.run.pipeline import Outcome, run_section
from histoscribe.run.verbs import read_labels

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
    listen({"event": "stage", "section": "phantom", "stage": "draw", "state": "started"})
    phantom = make_phantom(SEED)
    write_spaceranger(phantom, vendor)
    listen({"event": "stage", "section": "phantom", "stage": "draw", "state": "done"})
    request = Request(path=vendor, section="phantom")
    if corrupt is not None:
        from dataclasses import replace

        reading = read(request)
        broken = preflight(replace(reading, section=break_coordinates(reading.section, corrupt)))
        broken.raise_if_refused()
        raise InputError("the corrupted coordinates were not refused; please report this", where="demo")
    config = RunConfig(encoder="morphology", n_domains=phantom.n_domains, seed=SEED)
    labels = read_labels(vendor / "truth.csv")
    outcome = run_section(request, out=out / "result", config=config, listen=listen, labels=labels)
    return Demo(vendor, outcome)
