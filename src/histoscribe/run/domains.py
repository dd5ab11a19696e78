"""Find the tissue domains of a section or of a cohort, and say which domain of one section is which of another."""

from collections.abc import Sequence
from pathlib import Path

from histoscribe.domains import DOMAINS
from histoscribe.domains.match import domain_profiles, match_domains
from histoscribe.io.reading import Request
from histoscribe.run.events import Listener, silent
from histoscribe.run.joint import find_jointly
from histoscribe.run.requests import requests_of
from histoscribe.run.section.chain import run_section
from histoscribe.run.section.finished import read_domains
from histoscribe.run.section.score import section_of
from histoscribe.run.section.settings import RunConfig, read_config
from histoscribe.run.several import Outcome, one_or_each

# needs no weights from anywhere, so that domains are found on a computer without a network
ENCODER = "morphology"
MATCHED = "matched_domains.csv"


def domains(
    path: Path | str,
    *,
    out: Path | str,
    method: str | None = None,
    n_domains: int | None = None,
    consensus: bool | None = None,
    config: Path | RunConfig | None = None,
    mpp: float | None = None,
    listen: Listener = silent,
) -> list[Outcome]:
    """Find the tissue domains of one section, or of every section of a sample sheet, from counts, picture or both.

    The same as `run`, but for the encoder of the picture, which is "morphology" where nothing else is asked for and
    needs no weights.

    Parameters
    ----------
    path
        Vendor folder, single file that carries everything (an h5ad with counts and coordinates needs no picture), or
        samplesheet.csv.
    out
        Folder of the result; several sections have one folder each in it, a summary, and their domains matched.
    method
        "niche", "efnst" or "histology"; niche where there are counts and histology where there are
        none, if not given.
    n_domains
        Number of domains, obeyed exactly; chosen with evidence where not given.
    consensus
        Run the method over seeds, numbers of domains and block weights, and return what they agree on.
    config
        Any other setting, as `RunConfig` or in a file; the ones given here win over it.
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
        Where the input, the configuration or the result folder is refused.
    """
    settings = settings_of(config, RunConfig(encoder=ENCODER))
    settings = settings.updated(method=method, n_domains=n_domains, consensus=consensus)
    return find_in_all(Path(path), Path(out), settings, listen, command="domains", mpp=mpp)


def settings_of(config: Path | RunConfig | None, defaults: RunConfig) -> RunConfig:
    """Return the settings that are given, as they are or in a file, over a command's own defaults."""
    if config is None:
        return defaults
    return config if isinstance(config, RunConfig) else read_config(Path(config), defaults)


def find_in_all(
    path: Path, out: Path, config: RunConfig, listen: Listener, *, command: str, mpp: float | None = None
) -> list[Outcome]:
    """Find the domains of what lies at `path`: of one section in `out` itself, of several in a folder each."""
    if config.method != RunConfig().method:
        DOMAINS.get(config.method)

    if config.joint != RunConfig().joint:
        return find_jointly(
            requests_of(path, config, mpp=mpp), out, config, listen, command=command, more={MATCHED: _matched}
        )

    def one(request: Request, folder: Path, listen: Listener) -> Outcome:
        return run_section(request, out=folder, config=config, listen=listen, command=command)

    return one_or_each(path, out, config, one, listen=listen, mpp=mpp, more={MATCHED: _matched})


def _matched(outcomes: Sequence[Outcome]) -> bytes | None:
    """Table of which domain of one section is which of another, where two or more have counts and share genes."""
    profiles = {}
    for one in outcomes:
        if one.folder is None:
            continue
        section = section_of(one.folder)
        if section.has_counts:
            labels = read_domains(one.folder, section.spots.obs_names)["domain"].to_numpy(int)[section.measured]
            counts = section.spots.X[section.measured]
            profiles[one.folder.name] = domain_profiles(counts, labels, genes=list(section.spots.var_names))
    if len(profiles) < 2:
        return None
    table: str = match_domains(profiles).to_csv(index=False, lineterminator="\n")
    return table.encode()
