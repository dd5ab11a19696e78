"""Folds of training and test: never the same patient on both sides, unless requested and marked in every output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.errors import ConfigError, InputError, listing

Index = NDArray[np.intp]
Rule = Literal["patient", "section", "blocks"]

_GIVE_PATIENTS = "name each section's patient in the column `patient` of the sample sheet"


@dataclass(frozen=True, slots=True)
class Fold:
    """One division into training and test.

    Parameters
    ----------
    name
        What is held out: a patient, a section, or a section and a block, "C2#1".
    train, test
        Names of sections. With blocks both hold the one section.
    rule
        What was held out as one.
    leaky
        Whether a patient may be on both sides, so that the score says nothing about a new patient.
    blocks
        Rows of the one section for training and for test; None where whole sections are divided.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    rule: Rule
    leaky: bool
    blocks: tuple[Index, Index] | None = field(default=None, compare=False)


def outer_folds(
    sections: Sequence[tuple[str, str | None]], *, by: Literal["auto", "patient", "section"] = "auto"
) -> list[Fold]:
    """Divide sections for an honest evaluation.

    Parameters
    ----------
    sections
        Name and patient (None where unknown) of every section.
    by
        "auto" and "patient" leave one patient out. "section" leaves one section out and is marked leaky unless every
        section is known to be its own patient.

    Returns
    -------
    One fold per patient or section, in the order in which they first come.

    Raises
    ------
    InputError
        Names that occur twice, patients that are not known, or fewer than two groups.
    ConfigError
        An unknown rule.

    Examples
    --------
    >>> from histoscribe.predict.splits import outer_folds
    >>> sections = [("A1", "A"), ("A2", "A"), ("B1", "B")]
    >>> [(fold.name, fold.train, fold.test) for fold in outer_folds(sections)]
    [('A', ('B1',), ('A1', 'A2')), ('B', ('A1', 'A2'), ('B1',))]
    >>> [fold.leaky for fold in outer_folds(sections, by="section")]
    [True, True, True]
    """
    names = [name for name, _ in sections]
    patients = dict(sections)
    if len(patients) < len(names):
        raise InputError(
            "names of sections occur more than once",
            found=listing(sorted({name for name in names if names.count(name) > 1})),
            fix="give every section a name of its own",
        )
    if by == "section":
        return _by_section(names, patients)
    if by not in ("auto", "patient"):
        raise ConfigError("there is no such rule of folds", where="by", expected="auto, patient or section", found=by)
    return _by_patient(names, patients)


def _by_patient(names: list[str], patients: dict[str, str | None]) -> list[Fold]:
    unknown = [name for name in names if not patients[name]]
    if unknown:
        raise InputError(
            f"the patient of {len(unknown)} of {len(names)} sections is not known",
            found=listing(unknown),
            fix=f"{_GIVE_PATIENTS}; or leave one section out with by='section', which is then marked LEAKY",
        )
    groups = list(dict.fromkeys(patients[name] for name in names))
    if len(groups) < 2:
        more = "leave one section out with by='section', which is then marked LEAKY" if len(names) > 1 else _BLOCKS
        raise InputError(
            "all sections are of one patient, so none can be held out" if names else "there are no sections",
            expected="sections of at least two patients",
            found=listing(f"{name} ({patients[name]})" for name in names),
            fix=f"add sections of another patient; or {more}",
        )
    folds = []
    for group in groups:
        test = tuple(name for name in names if patients[name] == group)
        train = tuple(name for name in names if patients[name] != group)
        folds.append(Fold(str(group), train, test, "patient", leaky=False))
    return folds


def _by_section(names: list[str], patients: dict[str, str | None]) -> list[Fold]:
    if len(names) < 2:
        raise InputError(
            "there is only one section, so none can be held out" if names else "there are no sections",
            expected="at least two sections",
            found=listing(names),
            fix=f"add sections; or {_BLOCKS}",
        )
    known = [patients[name] for name in names]
    own = all(known) and len(set(known)) == len(names)
    return [
        Fold(name, tuple(other for other in names if other != name), (name,), "section", leaky=not own)
        for name in names
    ]


_BLOCKS = "hold out spatial blocks of the one section, which says nothing about another section"


def block_folds(
    section: str, xy_um: NDArray[np.floating], *, n_blocks: int = 4, guard_um: float = 0.0, seed: int = 0
) -> list[Fold]:
    """Folds within one section: each spatial block is tested once; always leaky, as the patient is on both sides."""
    blocks = spatial_blocks(xy_um, n_blocks=n_blocks, guard_um=guard_um, seed=seed)
    return [
        Fold(f"{section}#{k}", (section,), (section,), "blocks", leaky=True, blocks=block)
        for k, block in enumerate(blocks, 1)
    ]


def block_labels(xy_um: NDArray[np.floating], *, n_blocks: int, seed: int = 0) -> Index:
    """Cut a section into compact blocks of equal numbers of spots, by halving along the longer side again and again.

    Parameters
    ----------
    xy_um
        Centres, (n, 2).
    n_blocks
        Blocks, at most n.
    seed
        Rotates the direction of the cuts, so that other seeds give other blocks.

    Returns
    -------
    (n,) block of each spot, 0 to `n_blocks` - 1; it depends on the spots' places, not on the order of the rows.

    Raises
    ------
    ConfigError
        Fewer than one block, or more blocks than spots.
    """
    xy = np.asarray(xy_um, np.float64)
    if not 1 <= n_blocks <= len(xy):
        raise ConfigError("a section cannot be cut so", where="n_blocks", expected=f"1 to {len(xy):,}", found=n_blocks)
    angle = np.random.default_rng(seed).uniform(0, np.pi / 2)
    turned = xy @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    labels = np.zeros(len(xy), np.intp)
    parts = [(np.arange(len(xy)), n_blocks, 0)]
    while parts:
        rows, count, first = parts.pop()
        if count == 1:
            labels[rows] = first
            continue
        place = turned[rows]
        along = int(np.ptp(place[:, 1]) > np.ptp(place[:, 0]))
        rows = rows[np.lexsort((place[:, 1 - along], place[:, along]))]
        fewer = count // 2
        cut = round(len(rows) * fewer / count)
        parts += [(rows[:cut], fewer, first), (rows[cut:], count - fewer, first + fewer)]
    return labels


def spatial_blocks(
    xy_um: NDArray[np.floating], *, n_blocks: int = 4, guard_um: float = 0.0, seed: int = 0
) -> list[tuple[Index, Index]]:
    """Divide one section's spots into training and test so that none of the training lies near the test.

    Parameters
    ----------
    xy_um
        Centres, (n, 2), in microns.
    n_blocks
        Compact blocks of equal size, each tested once.
    guard_um
        No training spot lies within this distance of a test spot: at least the side of a tile, because
        neighbouring spots share the pixels of their tiles.
    seed
        Of the cuts.

    Returns
    -------
    For every block the rows for training and the rows for test.

    Raises
    ------
    ConfigError
        Fewer than two blocks, a negative guard, or one that leaves no spot to train on.
    """
    if n_blocks < 2 or not guard_um >= 0:
        raise ConfigError(
            "blocks cannot be held out so",
            where="n_blocks, guard_um",
            expected="at least 2 blocks and a guard of 0 or more",
            found=f"{n_blocks}, {guard_um}",
        )
    xy = np.asarray(xy_um, np.float64)
    labels = block_labels(xy, n_blocks=n_blocks, seed=seed)
    folds = []
    for block in range(n_blocks):
        test = labels == block
        distance, _ = cKDTree(xy[test]).query(xy)  # (n,)
        train = ~test & (distance > guard_um)
        if not train.any():
            raise ConfigError(
                "the guard leaves no spots to train on",
                where="guard_um",
                found=f"{guard_um:g} um on a section {np.ptp(xy, axis=0).max():,.0f} um wide",
                fix="take a smaller guard or more blocks",
            )
        folds.append((np.flatnonzero(train), np.flatnonzero(test)))
    return folds


def inner_folds(groups: NDArray[Any], *, max_folds: int = 5) -> list[tuple[Index, Index]]:
    """Divide training rows for a choice within the training: no group on both sides.

    Parameters
    ----------
    groups
        (n,) patient or, within one patient, section of every row.
    max_folds
        Groups beyond so many share folds, the largest spread first.

    Returns
    -------
    Pairs of rows to fit and rows to validate; every row is validated once.

    Raises
    ------
    InputError
        Fewer than two groups.
    """
    kinds, code, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if len(kinds) < 2:
        raise InputError(
            "there is only one group to train on, so nothing can be chosen by leaving one out",
            expected="at least two patients, sections or blocks",
            found=listing(kinds),
            fix="add sections, or divide this one into spatial blocks",
        )
    n_folds = min(max_folds, len(kinds))
    fold_of, load = np.zeros(len(kinds), np.intp), np.zeros(n_folds)
    for group in np.lexsort((np.arange(len(kinds)), -sizes)):
        fold_of[group] = int(load.argmin())
        load[fold_of[group]] += sizes[group]
    fold = fold_of[code.ravel()]
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]


def check_no_patient_on_both_sides(folds: Sequence[Fold], patients: Mapping[str, str | None]) -> None:
    """Refuse folds that would score a model on what it was trained on.

    Parameters
    ----------
    folds
        To be evaluated.
    patients
        Patient of every section; None where unknown.

    Raises
    ------
    InputError
        A section on both sides, spots on both sides of a fold by blocks, or a patient on both sides of a fold that is
        not marked leaky.
    """
    for fold in folds:
        where = f"fold {fold.name!r}"
        if fold.blocks is not None:
            if len(np.intersect1d(*fold.blocks)):
                raise InputError("spots are on both sides", where=where, found=listing(np.intersect1d(*fold.blocks)))
        elif set(fold.train) & set(fold.test):
            raise InputError("sections are on both sides", where=where, found=listing(set(fold.train) & set(fold.test)))
        if fold.leaky:
            continue
        both = {patients.get(name) for name in fold.train} & {patients.get(name) for name in fold.test}
        if both:
            known = sorted(str(patient) for patient in both if patient is not None)
            raise InputError(
                "a patient is on both sides of a fold that is not marked leaky",
                where=where,
                expected="no patient both in training and in test",
                found=listing(known) if known else "sections of unknown patients",
                fix=_GIVE_PATIENTS,
            )
