"""What a user asks for, in one call each: the public functions behind the command line."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from histoscribe.errors import HistoscribeError, InputError, ResultError, listing
from histoscribe.io import read
from histoscribe.io.preflight import Preflight, preflight
from histoscribe.io.reading import Reading, Request
from histoscribe.report import write_summary
from histoscribe.run.config import RunConfig, read_config
from histoscribe.run.events import Listener, silent
from histoscribe.run.pipeline import Outcome, run_section
from histoscribe.run.requests import is_sheet, requests_of
from histoscribe.store.files import writing_to
from histoscribe.store.manifest import Verification
from histoscribe.store.result import verify_result


def run_sections(
    path: Path | str,
    *,
    out: Path | str,
    encoder: str | None = None,
    n_domains: int | None = None,
    config: Path | RunConfig | None = None,
    seed: int | None = None,
    listen: Listener = silent,
) -> list[Outcome]:
    """Find the tissue domains of one section, or of every section of a sample sheet.

    Parameters
    ----------
    path
        Vendor folder, single file that carries everything (h5ad, SpatialData zarr, challenge HDF5), or samplesheet.csv.
    out
        Folder of the result; a sample sheet writes one folder per section in it, and a summary.
    encoder
        Name of an encoder (`histoscribe encoders` lists them) or path of a card in TOML.
    n_domains
        Number of domains, obeyed exactly; chosen with evidence where not given.
    config
        File run.toml with any setting; the options given here win over it.
    seed
        Seed of everything random.
    listen
        Called with every event of the run.

    Returns
    -------
    One outcome per section. One section that is refused raises instead.

    Raises
    ------
    HistoscribeError
        Where the input, the configuration, the encoder or the result folder is refused.
    """
    settings = config if isinstance(config, RunConfig) else read_config(Path(config)) if config else RunConfig()
    settings = settings.updated(encoder=encoder, n_domains=n_domains, seed=seed)
    requests, out = requests_of(Path(path)), Path(out)
    if len(requests) == 1 and not is_sheet(Path(path)):
        return [run_section(requests[0], out=out, config=settings, listen=listen)]
    _refuse_nested(out)
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
    outcomes = [_attempt(request, out, settings, listen) for request in requests]
    with writing_to(out):
        write_summary(out, [_row(outcome) for outcome in outcomes])
    return outcomes


def check(path: Path | str) -> list[tuple[Reading | HistoscribeError, Preflight | None]]:
    """Read a section, or every section of a sample sheet, and say what fits, what does not and how to mend it.

    Parameters
    ----------
    path
        Vendor folder, single file that carries everything, or samplesheet.csv.

    Returns
    -------
    Per section what was read and its preflight, or the error that kept it from being read.
    """
    found: list[tuple[Reading | HistoscribeError, Preflight | None]] = []
    for request in requests_of(Path(path)):
        try:
            reading = read(request)
        except InputError as error:
            found.append((error, None))
        else:
            found.append((reading, preflight(reading)))
    return found


def verify(folder: Path | str) -> dict[str, Verification]:
    """Re-read every byte of a result against its manifest.

    Parameters
    ----------
    folder
        Result of one section, or of a sample sheet.

    Returns
    -------
    What was found, by section folder ("." for a single result).

    Raises
    ------
    ResultError
        Where there is no complete result, or a manifest is itself damaged.
    """
    folder = Path(folder)
    below = sorted(path.parent for path in folder.glob("*/manifest.json"))
    if (folder / "manifest.json").is_file() or not below:
        return {".": verify_result(folder)}
    return {path.name: verify_result(path) for path in below}


def read_labels(path: Path) -> pd.Series:
    """Read known domains from a CSV with the columns barcode and domain, as text by barcode."""
    table = pd.read_csv(path, dtype=str)
    missing = {"barcode", "domain"} - set(table)
    if missing:
        raise InputError(
            f"no column {listing(sorted(missing))}", where=path, expected="barcode, domain", found=listing(table)
        )
    return table.set_index("barcode")["domain"]


def _attempt(request: Request, out: Path, config: RunConfig, listen: Listener) -> Outcome:
    """Run one section of a sheet; whatever befalls it becomes its outcome, and the next one's turn comes."""
    name = request.section or (request.path.name if request.path else "section")

    def tell(event: dict[str, object]) -> None:
        listen({"section": name, **event})

    with ThreadPoolExecutor(max_workers=1) as one:
        task = one.submit(run_section, request, out=out / name, config=config, listen=tell)
        error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, HistoscribeError):
        tell({"event": "refused", "reason": str(error)})
        return Outcome(name, "refused", str(error))
    tell({"event": "failed", "reason": repr(error)})
    return Outcome(name, "failed", f"{type(error).__name__}: {error}")


def _row(outcome: Outcome) -> dict[str, object]:
    return {
        "section": outcome.section,
        "status": outcome.status,
        "reason": outcome.reason,
        "spots": outcome.n_spots,
        "domains": outcome.n_domains,
    }


def _refuse_nested(out: Path) -> None:
    if (out / "manifest.json").exists():
        raise ResultError(
            "this folder holds the result of a single section",
            where=out,
            expected="an empty or new folder for a sample sheet",
            mend="give another folder with --out",
        )
