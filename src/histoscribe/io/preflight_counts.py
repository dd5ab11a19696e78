"""Checks of the spots and their counts: enough spots, each one once, raw counts, not empty."""

import re

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import listing
from histoscribe.io.preflight_findings import Finding, Level, percent
from histoscribe.io.reading import Join
from histoscribe.section import Section

_FEW, _TOO_FEW = 50, 4
_EMPTY = 0.05
_MISFIT, _MISFIT_REFUSED = 0.01, 0.1
JOIN = "counts and positions"
# what spreadsheets make of MARCH1, SEPT2 and DEC1, and of 2310009E13Rik cut short
_MONTHS = {"mar": "MARCHF", "sep": "SEPTIN", "dec": "DELEC"}
_DATE = re.compile(r"(?P<day>\d{1,2})-(?P<month>mar|sep|dec)|(?P<first>mar|sep|dec)-(?P<last>\d{1,2})", re.IGNORECASE)
_NUMBER = re.compile(r"\d(\.\d+)?E\+\d{2}")
DEAD_SPOTS, SWAMPED_SPOTS = "dead spots", "swamped spots"
_LEFT_OUT = (
    "Nothing is learnt from their counts or scored on them; domains found from counts give them their neighbours' with "
    "confidence 0."
)


def spots_findings(section: Section) -> list[Finding]:
    """Check the number of spots, spots at one place, and barcodes of several sections."""
    n = section.spots.n_obs
    fix = "give the whole table of spots"
    if n < _TOO_FEW:
        findings = [Finding("number of spots", "refused", f"There are only {n} spots.", {"n_spots": n}, fix)]
    elif n < _FEW:
        message = f"There are only {n} spots, too few for domains that can be trusted."
        findings = [Finding("number of spots", "warning", message, {"n_spots": n}, fix)]
    else:
        findings = [Finding("number of spots", "ok", f"There are {n:,} spots.", {"n_spots": n})]
    return [*findings, *_places(section), *_suffixes(section)]


def counts_findings(section: Section, *, dead: NDArray[np.bool_]) -> list[Finding]:
    """Check for missing counts, empty, dead and swamped spots, constant genes, and values that are no counts.

    Parameters
    ----------
    dead
        (n,) spots whose measurement failed, from `dead_spots_of`.
    """
    X = section.spots.X
    n, genes = section.spots.shape
    if genes == 0:
        message = "There are no counts: domains are found from the image alone."
        fix = "give the count matrix for anything that needs genes"
        return [Finding("counts", "warning", message, {"n_genes": 0}, fix)]
    if X.nnz == 0 or not X.data.any():
        message = f"Every count of {n:,} spots and {genes:,} genes is 0."
        return [Finding("counts", "refused", message, {"n_genes": genes}, "give the matrix of raw counts")]
    findings = [_raw(X.data, genes)]
    total = np.asarray(X.sum(axis=1)).ravel()  # (n,)
    empty = float((total == 0).mean())
    evidence = {"empty_share": empty, "n_empty": int((total == 0).sum()), "median_total": float(np.median(total))}
    message = f"{evidence['n_empty']:,} of {n:,} spots have no counts; the median spot has {np.median(total):,.0f}."
    level: Level = "warning" if empty > _EMPTY else "ok"
    fix = "leave these spots out, or check that barcodes of matrix and spots match" if empty > _EMPTY else ""
    findings.append(Finding("empty spots", level, message, evidence, fix))
    spoilt = _spoilt_names([str(gene) for gene in section.spots.var_names])
    return [*findings, *_dead(total, dead), _constant(section), *spoilt, *_genomes(section)]


def join_finding(join: Join) -> Finding:
    """Judge whether counts and positions are of one section: all Visium slides share one list of barcodes.

    In a true run no spot with counts is off tissue. Spots on tissue may lack counts where a user left some out.
    """
    off, without = join.n_counted - join.n_both, join.n_on_tissue - join.n_both
    off_share, without_share = off / max(1, join.n_counted), without / max(1, join.n_on_tissue)
    evidence: dict[str, float] = {"n_counted": join.n_counted, "n_on_tissue": join.n_on_tissue}
    evidence |= {"off_tissue_share": off_share, "without_counts_share": without_share}
    message = (
        f"{off:,} of {join.n_counted:,} spots with counts are called off tissue, and {without:,} of "
        f"{join.n_on_tissue:,} spots on tissue have no counts."
    )
    if off_share >= _MISFIT_REFUSED:
        fix = "take counts and positions from one run: barcodes are the same on all Visium slides"
        return Finding(JOIN, "refused", f"{message} Counts and positions are of different sections.", evidence, fix)
    if max(off_share, without_share) >= _MISFIT:
        fix = "check that counts and positions are of one section; nothing has to be done where spots were left out"
        return Finding(JOIN, "warning", message, evidence, fix)
    return Finding(JOIN, "ok", message, evidence)


def _dead(total: NDArray[np.float64], dead: NDArray[np.bool_]) -> list[Finding]:
    swamped = dead & (total > np.median(total[~dead])) if not dead.all() else np.zeros_like(dead)
    low = dead & ~swamped
    n_low, n_swamped, n = int(low.sum()), int(swamped.sum()), len(dead)
    if not n_low:
        message = "No spot has hardly any counts where its surroundings have many."
        found = [Finding(DEAD_SPOTS, "ok", message, {"n_dead": 0, "n_spots": n})]
    else:
        message = (
            f"{n_low:,} of {n:,} spots have hardly any counts (at most {total[low].max():,.0f}) where their "
            f"surroundings have many: the measurement failed there. {_LEFT_OUT}"
        )
        fix = "nothing has to be done; where many lie together, look at the slide there"
        found = [Finding(DEAD_SPOTS, "warning", message, {"n_dead": n_low, "n_spots": n}, fix)]
    if n_swamped:
        message = (
            f"On {n_swamped:,} of {n:,} spots one gene has nearly all counts, and the spot many times those of its "
            f"surroundings (up to {total[swamped].max():,.0f}): nothing is left of the other genes there. {_LEFT_OUT}"
        )
        fix = "look at these counts in the matrix: a value that was typed or summed wrongly can be corrected"
        found.append(Finding(SWAMPED_SPOTS, "warning", message, {"n_swamped": n_swamped, "n_spots": n}, fix))
    return found


def _raw(values: NDArray[np.float64], genes: int) -> Finding:
    fractional = float(np.mean(values != np.round(values)))
    evidence = {"n_genes": genes, "non_integer_share": fractional, "largest": float(values.max())}
    if fractional == 0:
        return Finding("counts", "ok", f"{genes:,} genes with raw counts.", evidence)
    message = (
        f"{percent(fractional)} of the values are not whole numbers (largest {values.max():.3g}): these are no raw "
        "counts, they look normalised."
    )
    return Finding("counts", "warning", message, evidence, "give the matrix of raw counts")


def _constant(section: Section) -> Finding:
    X = section.spots.X.tocsc()
    n, genes = section.spots.shape
    high = X.max(axis=0).toarray().ravel()  # (g,)
    low = X.min(axis=0).toarray().ravel()
    constant, silent = int((high == low).sum()), int((high == 0).sum())
    evidence = {"n_constant": constant, "n_silent": silent, "constant_share": constant / genes}
    message = f"{constant:,} of {genes:,} genes have one value in all spots ({silent:,} of them none at all)."
    if constant == genes and n > 1:
        return Finding("constant genes", "refused", message, evidence, "give the matrix of raw counts of this section")
    if constant > silent:
        fix = "check these genes: a measured gene does not have the same count everywhere"
        return Finding("constant genes", "warning", message, evidence, fix)
    return Finding("constant genes", "ok", message, evidence)


def _spoilt_names(genes: list[str]) -> list[Finding]:
    """Name genes that a spreadsheet took for dates or numbers: "1-Mar", "2-Sep", "2.31E+13"."""
    likely = {}
    for gene in genes:
        if date := _DATE.fullmatch(gene):
            month = date["month"] or date["first"]
            likely[gene] = f"{_MONTHS[month.lower()]}{int(date['day'] or date['last'])}"
        elif _NUMBER.fullmatch(gene):
            likely[gene] = "a RIKEN gene"
    if not likely:
        return []
    shown = listing([f"{gene} ({was})" for gene, was in likely.items()], 5)
    message = f"{len(likely):,} gene names look as if a spreadsheet had changed them, such as {shown}."
    fix = "take the names from the original file, or write them again"
    return [Finding("gene names", "warning", message, {"n_spoilt": len(likely)}, fix)]


def _genomes(section: Section) -> list[Finding]:
    """Name the genomes that the genes are of, where these are several, as in grafts and mixed cultures."""
    if "genome" not in section.spots.var:
        return []
    of = section.spots.var["genome"].astype(str).to_numpy()
    total = np.asarray(section.spots.X.sum(axis=0)).ravel()  # (g,)
    share = {name: float(total[of == name].sum() / total.sum()) for name in sorted(set(of))}
    told = listing(
        [f"{name} ({int((of == name).sum()):,} genes, {percent(share[name])} of the counts)" for name in share]
    )
    message = f"The genes are of {len(share)} genomes: {told}."
    fix = "leave the genes of the other genome out, unless the tissue is of both, as a graft is"
    return [Finding("genomes", "warning", message, {f"share {name}": one for name, one in share.items()}, fix)]


def _places(section: Section) -> list[Finding]:
    n = len(section.xy_px)
    shared = n - len(np.unique(section.xy_px, axis=0))
    if shared == 0:
        return []
    message = f"{shared:,} of {n:,} spots stand at a place where another spot stands."
    fix = "check that the table holds one section and that the right columns are read as coordinates"
    level: Level = "refused" if shared > 0.05 * n else "warning"
    return [Finding("places", level, message, {"n_shared": shared, "n_spots": n}, fix)]


def _suffixes(section: Section) -> list[Finding]:
    suffix = section.spots.obs_names.str.extract(r"^[ACGT]{12,}-(\d+)$")[0].dropna()
    kinds = sorted(suffix.unique())
    if len(kinds) < 2:
        return []
    ends = f"-{kinds[0]} to -{kinds[-1]}"
    message = f"The barcodes end in {len(kinds)} different numbers ({ends}), as those of several merged sections do."
    fix = "split the table by the number after the barcode and run each section with its own image"
    return [Finding("barcodes", "warning", message, {"n_suffixes": len(kinds)}, fix)]
