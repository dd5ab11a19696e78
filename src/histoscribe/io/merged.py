"""Several sections in one table of spots, as concatenating makes them, and the choice of one of them.

They are known by what can stand only once in a section: a place of the array, a barcode without what programs add to
it. What tells them apart is a column of `obs` in which none of these stands twice, or what was added to the barcodes.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.errors import InputError, listing, nearest
from histoscribe.io.reading import Request

ONE = "none"  # the `section_column` of a file that holds one section, whatever it looks like
ENDINGS = "what is added to the barcodes"
_USUAL = (
    "library_id", "library", "section", "section_id", "slice", "slice_id", "slide", "slide_id", "sample", "sample_id",
    "sample_name", "sampleid", "batch", "capture_area", "orig.ident", "dataset", "donor", "donor_id", "patient",
)  # fmt: skip
_MOST = 500  # sections of one file
# a barcode of Visium, of Visium HD, or a place of legacy ST, and what stands before and after it
_BARCODE = r"^(?P<before>.*?)(?P<core>[ACGTN]{12,}|s_\d{3}um_\d{5}_\d{5}|\d+x\d+)(?P<after>.*)$"
_SAMPLE = 20_000
_OFF = 0.2  # steps of the array; Space Ranger's own positions are off by a hundredth


@dataclass(frozen=True, slots=True, eq=False)
class Sections:
    """The sections of one table.

    Parameters
    ----------
    by
        What tells them apart: "obs['sample']"; "" where nothing does.
    labels
        (n,) name of each spot's section; None where nothing tells.
    evidence
        Why these are several sections.
    """

    by: str
    labels: NDArray[np.str_] | None
    evidence: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Names of the sections as they can be given, sorted; empty where nothing tells them apart."""
        return [] if self.labels is None else sorted({safe_name(label) for label in set(self.labels.tolist())})

    def label_of(self, name: str | None) -> str | None:
        """Return the label that is meant by a name; None where it is none, or that of several."""
        labels = [] if self.labels is None else sorted(set(self.labels.tolist()))
        meant = [one for one in labels if one == name] or [one for one in labels if safe_name(one) == name]
        return meant[0] if len(meant) == 1 else None


def find_sections(
    adata: AnnData, libraries: Collection[str] = (), *, column: str | None = None, where: object = None
) -> Sections | None:
    """Find the sections of a table of spots; None where it holds one.

    Parameters
    ----------
    adata
        Its `obs`, `obs_names` and `obsm["spatial"]` are looked at.
    libraries
        Keys of `uns["spatial"]`.
    column
        Column of `obs` that names the sections, where the user says so; "none" for a table of one section.
    where
        The file, for messages.

    Raises
    ------
    InputError
        Where there is no such column, or it names no section for some spots.
    """
    if column is not None:
        return None if column == ONE else _stated(adata, column, where)
    keys, evidence = _once(adata)
    found = list(_by_column(adata.obs))
    affixes = _affixes(adata)
    found += [] if affixes is None else [(ENDINGS, affixes)]
    named = [(by, labels) for by, labels in found if len(set(libraries) & set(np.unique(labels))) > 1]
    if len(libraries) > 1 and not _is_of_one(adata.obs, libraries):
        evidence.append(f"uns['spatial'] has the keys {listing(sorted(libraries))}")
        found = [*named, *found]
    if not evidence:
        apart = ((by, labels, _apart(adata, labels, by)) for by, labels in found if _is_usual(by))
        return next((Sections(by, labels, (why,)) for by, labels, why in apart if why), None)
    for by, labels in found:
        if all(not pd.DataFrame({"label": labels, "key": key}).dropna().duplicated().any() for key in keys) and (
            keys or (by, labels) in named
        ):
            return Sections(by, labels, tuple(evidence))
    return Sections("", None, tuple(evidence))


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One section of several: the label that stands in the file, its spots (n,), and what a user should know."""

    label: str
    rows: NDArray[np.bool_]
    note: str


def choose_section(sections: Sections | None, request: Request, where: object) -> Choice | None:
    """Return the section that is named; None where the table holds one.

    Raises
    ------
    InputError
        Where the table holds several sections and none of them is named, or nothing tells them apart.
    """
    if sections is None:
        return None
    label = sections.label_of(request.section)
    if sections.labels is not None and label is not None:
        note = f"one of {len(sections.names)} sections, by {sections.by}"  # no names: it may be read anonymously
        return Choice(label, sections.labels == label, note)
    evidence = "; ".join(sections.evidence)
    if sections.labels is None:
        raise InputError(
            "the file holds several sections, and nothing in it says which spot is of which",
            where=str(where),
            expected="one section, or a column of obs that names them",
            found=evidence,
            fix="write a column: ad.concat({'A': first, 'B': second}, label='library_id', index_unique='-', "
            "uns_merge='unique'); or one h5ad per section",
        )
    names = listing(sections.names, 40)
    wrong = f"; {nearest(request.section, sections.names)}" if request.section else ""
    raise InputError(
        "the file holds several sections",
        where=str(where),
        expected="`section` naming one of them",
        found=f"sections by {sections.by}: {names}" + (f" ({evidence})" if evidence else ""),
        fix="name the section in the column `section` of a sample sheet or with --section; section_column names the "
        f"column that tells them apart, and section_column {ONE} reads the file as one section{wrong}",
    )


def safe_name(label: str) -> str:
    """Return a label as a section's name may be: letters, digits, dots, dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-._")[:100] or "section"


def _stated(adata: AnnData, column: str, where: object) -> Sections:
    if column not in adata.obs:
        raise InputError(
            f"there is no column {column!r} in obs",
            where=str(where),
            found=listing(adata.obs.columns, 20),
            fix=f"correct section_column; {nearest(column, adata.obs.columns)}",
        )
    values = adata.obs[column]
    lost = int(values.isna().sum())
    if lost:
        raise InputError(
            f"obs[{column!r}] names no section for {lost:,} of {len(values):,} spots",
            where=str(where),
            fix="write their sections, or leave these spots out",
        )
    return Sections(f"obs[{column!r}]", _texts(values), ())


def _once(adata: AnnData) -> tuple[list[pd.Series], list[str]]:
    """Return what can stand only once in a section, by spot, and the evidence that it stands more often."""
    keys, evidence = [], []
    places = places_of(adata.obs)
    core = _cores(adata)["core"]
    for what, key in (("array places", places), ("barcodes without what is added to them", core)):
        if key is None:
            continue
        key = pd.Series(np.asarray(key), dtype=object)
        twice = int(key.dropna().duplicated().sum())
        if twice:
            keys.append(key)
            evidence.append(f"{twice:,} of {len(key):,} {what} stand more than once")
    return keys, evidence


def places_of(obs: pd.DataFrame) -> pd.Series | None:
    """Return the places on the array as text, None where unknown; None without the columns."""
    if not {"array_row", "array_col"} <= set(obs.columns):
        return None
    row, column = (pd.to_numeric(obs[name].astype(str), errors="coerce") for name in ("array_row", "array_col"))
    known = (row >= 0) & (column >= 0)
    return (row.astype(str) + "," + column.astype(str)).where(known, None)


def _cores(adata: AnnData) -> pd.DataFrame:
    return pd.Series(adata.obs_names.astype(str)).str.extract(_BARCODE)


def _affixes(adata: AnnData) -> NDArray[np.str_] | None:
    """Return what stands before and after each barcode, (n,); None where that is the same everywhere, or unknown."""
    parts = _cores(adata)
    if parts["core"].isna().any():
        return None
    whole = parts["before"] + " " + parts["after"]
    kinds = whole.unique()
    if not 1 < len(kinds) <= _MOST:
        return None
    tokens = {kind: re.findall(r"[A-Za-z0-9.]+", kind) for kind in kinds}
    length = {len(one) for one in tokens.values()}
    differing = [k for k in range(min(length)) if len({one[k] for one in tokens.values()}) > 1]
    if len(length) == 1 and differing:  # the run's own "-1" is on all of them
        tokens = {kind: [one[k] for k in differing] for kind, one in tokens.items()}
    short = {kind: "-".join(one) for kind, one in tokens.items()}
    if len(set(short.values())) < len(kinds) or not all(short.values()):
        short = {kind: str(number) for number, kind in enumerate(kinds, 1)}
    return whole.map(short).to_numpy(str)


def _by_column(obs: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.str_]]]:
    """Yield the columns that could name sections, the usual names first, then those of fewest values."""
    usual = [str(name) for name in obs.columns if str(name).lower() in _USUAL]
    usual.sort(key=lambda name: _USUAL.index(name.lower()))
    counts = {str(name): obs[name].nunique() for name in obs.columns if obs[name].dtype.kind not in "fc"}
    others = sorted((name for name in counts if name not in usual), key=lambda name: counts[name])
    for name in (*usual, *others):
        if 1 < obs[name].nunique() <= min(_MOST, max(2, len(obs) // 4)) and not obs[name].isna().any():
            yield f"obs[{name!r}]", _texts(obs[name])


def _is_usual(by: str) -> bool:
    return by == ENDINGS or by.removeprefix("obs['").removesuffix("']").lower() in _USUAL


def _is_of_one(obs: pd.DataFrame, libraries: Collection[str]) -> bool:
    """Whether a column names one of the libraries for every spot: the file was cut out of a larger one."""
    return library_of_all(obs, libraries) is not None


def library_of_all(obs: pd.DataFrame, libraries: Collection[str]) -> str | None:
    """Return the library that a column of `obs` names for every spot, or None."""
    for name in obs.columns:
        if obs[name].dtype.kind not in "fc" and obs[name].nunique() == 1 and not obs[name].isna().any():
            only = str(obs[name].iloc[0])
            if only in libraries:
                return only
    return None


def _apart(adata: AnnData, labels: NDArray[np.str_], by: str) -> str:
    """Say how the labels split the coordinates so that these are no spots of one section; "" where they do not."""
    xy = np.asarray(adata.obsm["spatial"]) if "spatial" in adata.obsm else np.empty((0, 2))
    if xy.ndim != 2 or len(xy) < 8 or xy.shape[1] < 2 or xy.dtype.kind not in "iuf" or not np.isfinite(xy).all():
        return ""
    off = _off_lattice(adata.obs, xy[:, :2])
    if off is not None and off < _OFF:
        return ""
    alone = [_off_lattice(adata.obs[labels == one], xy[labels == one, :2]) for one in np.unique(labels)]
    if off is not None and all(one is not None and one < _OFF / 2 for one in alone):
        return f"the array of each {by} lies in pixels of its own"
    within = np.concatenate([_near(xy[labels == one, :2]) for one in np.unique(labels)])
    if not len(within) or not np.median(within) > 0:
        return ""
    if np.median(_near(xy[:, :2])) < 0.8 * np.median(within):
        return f"spots of different {by} stand between one another"
    gaps = [cKDTree(xy[labels != one, :2]).query(xy[labels == one, :2])[0].min() for one in np.unique(labels)]
    if min(gaps) > 3 * np.median(within):
        return f"spots of different {by} stand apart, at least {min(gaps):,.0f} pixels"
    return ""


def _near(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each of some spots to the nearest other one."""
    if len(xy) < 2:
        return np.empty(0)
    distance: NDArray[np.float64] = cKDTree(xy).query(xy[:: max(1, len(xy) // _SAMPLE)], k=2)[0][:, 1]
    return distance


def _off_lattice(obs: pd.DataFrame, xy: NDArray[np.float64]) -> float | None:
    """How far pixels are from a linear function of array row and column, in steps of the array; None where unknown."""
    if not {"array_row", "array_col"} <= set(obs.columns):
        return None
    index = [pd.to_numeric(obs[name].astype(str), errors="coerce").to_numpy() for name in ("array_col", "array_row")]
    design = np.column_stack([*index, np.ones(len(xy))]).astype(np.float64)
    if len(xy) < 8 or not np.isfinite(design).all():
        return None
    solution, _, rank, _ = np.linalg.lstsq(design, xy, rcond=None)
    step = np.linalg.norm(solution[:2], axis=1).min()
    return float(np.sqrt(((design @ solution - xy) ** 2).sum(1).mean()) / step) if rank == 3 and step > 0 else None


def _texts(values: pd.Series) -> NDArray[np.str_]:
    return values.astype(str).to_numpy(str)
