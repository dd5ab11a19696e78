"""What the columns of a matrix are: genes, several probes of one gene, genes of two genomes, or no genes at all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import listing
from histoscribe.io.counts import unique_genes

# 10x's probe-level matrices: ENSG00000000003|TSPAN6|8eab823
_PROBE = re.compile(r"(?P<old>DEPRECATED_)?(?P<gene>[^|]+)\|(?P<symbol>[^|]+)\|[0-9A-Za-z]+")
_ENSEMBL = re.compile(r"(?P<kind>ENS[A-Z]*G)\d{6,}(\.\d+)?")
_GENOME = re.compile(
    r"(?P<genome>GRC[a-z]\d+|hg\d+|mm\d+|rn\d+|mRatBN[\d.]+|Rnor[\d.]+|danRer\d+|dm\d+|BDGP\d+|Sscrofa[\d.]+"
    r"|human|mouse|rat)(?:[_-]+)(?=.)",
    re.IGNORECASE,
)
# what scanpy, Seurat and Space Ranger write beside genes, in lower case with one sign between words
_NO_GENES = re.compile(
    r"(total|sum|n|log1p)_(counts?|umis?|reads|genes?|features?|molecules?|n_)(_.*)?|total|sum|umis?|numi|ngene|"
    r"n(count|feature)_\w+|(pct|percent|percentage)_.*|in_tissue|tissue|on_tissue|under_tissue|selected|"
    r"array_(row|col|column)|pxl_(row|col)_in_(fullres|hires|lowres)|image_?(row|col)|(new_|pixel_|raw_)?[xy]|"
    r"[xy]_(px|pixel|coord|centroid|um)|(pixel_)?(row|col|column)|barcodes?|(library|sample|section|slide|spot|cell)"
    r"(_?id|_name)?|batch|orig_ident|(seurat_)?clusters?|leiden|louvain"
)


@dataclass(frozen=True, slots=True, eq=False)
class Genes:
    """The genes of a matrix.

    Parameters
    ----------
    matrix
        Counts, (n, g).
    names, ids
        Of the genes, each name once.
    genomes
        (g,) the genome of each; None where they are of one.
    notes
        What a user should know.
    """

    matrix: sparse.csr_matrix
    names: list[str]
    ids: list[str]
    genomes: NDArray[np.str_] | None
    notes: tuple[str, ...]


def genes_of(
    matrix: sparse.csr_matrix,
    names: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    genomes: Sequence[str] | None = None,
) -> Genes:
    """Make genes of the columns of a matrix: without those that are none, probes of one gene summed, each name once.

    Parameters
    ----------
    matrix
        Counts, (n, f).
    names, ids, genomes
        (f,) of the features; identifiers are the names where they have none.
    """
    names = [unquoted(name) for name in names]
    ids = names if ids is None else [unquoted(one) for one in ids]
    kept, note = gene_columns(names)
    notes = [note] if note else []
    if not kept.all():
        matrix = matrix[:, kept]
        names, ids = (list(compress(one, kept)) for one in (names, ids))
        genomes = None if genomes is None else list(compress(genomes, kept))
    of = _genomes(names, ids, genomes)
    matrix, names, ids, first, summed = _summed(matrix, names, ids)
    of = None if of is None else of[first]
    unique, note = unique_genes(names)
    return Genes(matrix, unique, ids, of, (*notes, *summed, *([note] if note else [])))


def gene_columns(names: Sequence[str]) -> tuple[NDArray[np.bool_], str | None]:
    """Say which columns are genes by their names, (g,), and name those that are totals, places or labels."""
    plain = [re.sub(r"[\s._-]+", "_", name.strip().lower()) for name in names]
    keep = np.array([_NO_GENES.fullmatch(name) is None for name in plain], bool)
    left_out = [name for name, gene in zip(names, keep, strict=True) if not gene]
    return keep, f"the columns {listing(left_out)} are no genes and were left out" if left_out else None


def unquoted(name: str) -> str:
    """Return a name without blanks and quotation marks around it."""
    name = str(name).strip()
    while len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1].strip()
    return name


def _summed(
    matrix: sparse.csr_matrix, names: list[str], ids: list[str]
) -> tuple[sparse.csr_matrix, list[str], list[str], NDArray[np.intp], list[str]]:
    """Sum probes of one gene, (n, f) to (n, g); also returns the first feature of each gene, and notes."""
    probes = [_PROBE.fullmatch(one) or _PROBE.fullmatch(name) for one, name in zip(ids, names, strict=True)]
    old = np.array([probe is not None and probe["old"] is not None for probe in probes], bool)
    names = [probe["symbol"] if probe else name for probe, name in zip(probes, names, strict=True)]
    ids = [probe["gene"] if probe else one for probe, one in zip(probes, ids, strict=True)]
    group: dict[str, int] = {}
    first: list[int] = []
    place = np.full(len(ids), -1, np.int64)
    for k, (one, probe) in enumerate(zip(ids, probes, strict=True)):
        key = one if probe is not None or _ENSEMBL.fullmatch(one) else f"{k} alone"
        if old[k]:
            continue
        if key not in group:
            group[key] = len(first)
            first.append(k)
        place[k] = group[key]
    chosen = np.array(first, np.intp)
    if len(chosen) == len(ids):
        return matrix, names, ids, chosen, []
    kept = np.flatnonzero(place >= 0)
    ones = np.ones(len(kept), matrix.dtype)
    matrix = sparse.csr_matrix(matrix @ sparse.csr_matrix((ones, (kept, place[kept])), shape=(len(ids), len(chosen))))
    notes = []
    n_each = np.bincount(place[kept], minlength=len(chosen))
    several = [f"{names[chosen[k]]} ({n_each[k]})" for k in np.argsort(-n_each, kind="stable") if n_each[k] > 1]
    if several:
        what = "probes" if any(probes) else "columns of one identifier"
        notes.append(f"{len(kept):,} {what} were summed to {len(chosen):,} genes, as of {listing(several, 5)}")
    if old.any():
        notes.append(f"{int(old.sum()):,} deprecated probes were left out")
    return matrix, [names[k] for k in chosen], [ids[k] for k in chosen], chosen, notes


def _genomes(names: list[str], ids: list[str], given: Sequence[str] | None) -> NDArray[np.str_] | None:
    """Return the genome of each gene by the file, the names' beginnings or the identifiers; None where it is one."""
    candidates: list[list[Any]] = [] if given is None else [[str(one).strip() for one in given]]
    for texts in (names, ids):
        candidates.append([found["genome"] if (found := _GENOME.match(text)) else "" for text in texts])
    candidates.append([found["kind"] if (found := _ENSEMBL.fullmatch(one.partition("|")[0])) else "" for one in ids])
    for genomes in candidates:
        if len(set(genomes) - {"", "nan", "None"}) > 1:
            return np.array([one or "none" for one in genomes], str)
    return None
