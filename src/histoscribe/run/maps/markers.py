"""Genes to map that the run finds itself: the strongest markers of each domain."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from histoscribe.domains.markers import N_MARKERS
from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.run.section.files import MARKERS as MARKERS_FILE
from histoscribe.run.section.finished import read_description, read_domains

MARKERS = "markers"
_EACH = 4


def markers_each(genes: object) -> int | None:
    """Return how many markers of each domain are asked for by "markers" or "markers:N"; None where genes are named.

    Raises
    ------
    ConfigError
        Where N is no number, or more than a run finds.
    """
    if not isinstance(genes, str) or genes.partition(":")[0] != MARKERS:
        return None
    count = genes.removeprefix(MARKERS).removeprefix(":") if genes != MARKERS else str(_EACH)
    if not count.isdecimal() or not 1 <= int(count) <= N_MARKERS:
        raise ConfigError(
            "not a number of markers of each domain",
            where="genes",
            expected=f"markers, or markers:1 to markers:{N_MARKERS}",
            found=genes,
        )
    return int(count)


def strongest_markers(
    done: Path, each: int, *, barcodes: pd.Index, left_out: Collection[str] = ()
) -> tuple[list[str], str]:
    """Return the strongest markers of each domain, the first of every domain before the second of any, and a note.

    Parameters
    ----------
    done
        Folder with the domains and what distinguishes them.
    barcodes
        Of the section's spots.
    left_out
        Genes that the quality control has left out.

    Raises
    ------
    InputError
        Where no domain has a marker.
    """
    table = read_description(done / MARKERS_FILE)
    rows = [] if table is None else list(zip(table["domain"], table["gene"], strict=True))
    rows = [(domain, gene) for domain, gene in rows if gene not in left_out]
    domains = sorted(read_domains(done, barcodes)["domain"].dropna().unique())
    own = {domain: [gene for found, gene in rows if found == domain][:each] for domain in domains}
    genes = [genes[k] for k in range(each) for genes in own.values() if k < len(genes)]
    if not genes:
        raise InputError(
            "no domain of this section has a marker gene",
            where="genes",
            found=f"{len(domains)} domains",
            fix="name the genes, or ask for top:50",
        )
    without = [domain for domain, names in own.items() if not names]
    note = f"the genes are the strongest markers of each of {len(domains)} domains, at most {each} of each"
    return list(dict.fromkeys(genes)), note + (f"; domain {listing(without)} has none" if without else "")
