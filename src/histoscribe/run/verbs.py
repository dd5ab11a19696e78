"""What a user asks for, in one call each: the public functions behind the command line."""

from pathlib import Path

from histoscribe.errors import HistoscribeError, InputError
from histoscribe.io.preflight import Preflight, preflight
from histoscribe.io.reading import Reading
from histoscribe.run.domains import find_in_all, settings_of
from histoscribe.run.events import Listener, silent
from histoscribe.run.inputs import reading_of
from histoscribe.run.requests import ReadOptions, requests_of
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.several import Outcome
from histoscribe.store.cohort import COHORT, verify_cohort
from histoscribe.store.manifest import MANIFEST, Verification
from histoscribe.store.result import verify_result


def run_sections(
    path: Path | str,
    *,
    out: Path | str,
    encoder: str | None = None,
    n_domains: int | None = None,
    config: Path | RunConfig | None = None,
    seed: int | None = None,
    mpp: float | None = None,
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
    mpp
        Microns per pixel of the picture, where the file does not say so or says it wrongly; a sheet has a column.
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
    settings = settings_of(config, RunConfig()).updated(encoder=encoder, n_domains=n_domains, seed=seed)
    return find_in_all(Path(path), Path(out), settings, listen, command="run", mpp=mpp)


def check(
    path: Path | str,
    *,
    allow_damaged: bool = False,
    align: bool = False,
    mpp: float | None = None,
    section: str | None = None,
    section_column: str | None = None,
) -> list[tuple[Reading | HistoscribeError, Preflight | None]]:
    """Read a section, or every section of a sample sheet, and say what fits, what does not and how to fix it.

    Parameters
    ----------
    path
        Vendor folder, single file that carries everything, a picture alone, or samplesheet.csv.
    allow_damaged
        Read a picture that is known to be damaged, with a note, instead of refusing it.
    align
        Place the spots in a picture that is turned, mirrored or cut, where the vendor's smaller picture shows how.
    mpp
        Microns per pixel of the picture, where the file does not say so or says it wrongly; a sheet has a column.
    section
        Name of the section to check, of a file that holds several; all of them where not given, or "all".
    section_column
        Column of obs that names the sections of an h5ad or SpatialData table that holds several; "none" to read it as
        one section.

    Returns
    -------
    Per section what was read and its preflight, or the error that kept it from being read.

    Raises
    ------
    ConfigError
        Microns per pixel, a section or its column beside a sheet.
    """
    how = ReadOptions(allow_damaged=allow_damaged, align=align, section=section, section_column=section_column)
    found: list[tuple[Reading | HistoscribeError, Preflight | None]] = []
    for request in requests_of(Path(path), how, mpp=mpp):
        try:
            reading = reading_of(request)
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
    What was found, by section folder; "." for a single result, and for the files beside a cohort's sections.

    Raises
    ------
    ResultError
        Where there is no complete result, or a manifest is itself damaged.
    """
    folder = Path(folder)
    below = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    if (folder / MANIFEST).is_file() or not (below or (folder / COHORT).is_file()):
        return {".": verify_result(folder)}
    own = {".": verify_cohort(folder)} if (folder / COHORT).is_file() else {}
    return own | {path.name: verify_result(path) for path in below}
