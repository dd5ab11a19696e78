"""Genes as a target: which ones, chosen in training, and on which scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.expression.counted import Counted
from histoscribe.expression.measured import Measured
from histoscribe.expression.normalise import library_size, log_per_10k
from histoscribe.expression.select import (
    columns_of,
    counts_of,
    mean_share,
    shared_genes,
    spatial_variability,
    varying_genes,
)

Scale = Literal["log1p_cp10k", "log10_panel"]
_UNITS = {
    "log1p_cp10k": "counts per 10,000 molecules of the whole library",
    "log10_panel": "counts per 10,000 molecules of the chosen genes",
}


@dataclass
class GeneTarget:
    """Expression of chosen genes.

    Parameters
    ----------
    genes
        "abundant": the largest shares of the training sections' molecules; "variable": the largest Moran's I of
        ln(1 + counts per 10,000), averaged over the training sections; or the names themselves.
    n_genes
        How many, where they are chosen; fewer where the sections share fewer.
    scale
        "log1p_cp10k": ln(1 + counts per 10,000 of the whole library). "log10_panel": log10(1 + counts scaled to 10,000
        within the chosen genes), the scale of the her2st literature; it about doubles a score, because the genes of
        a panel then move against each other.

    Attributes
    ----------
    names_
        The genes, the most abundant or most variable first, or in the order in which they were asked for.
    dropped_
        Genes asked for by name that have one count in all training spots, so that nothing can be learned of them.
    fitted_on_
        Names of the training sections.

    Examples
    --------
    >>> from scipy import sparse
    >>> from histoscribe.expression.gene_target import GeneTarget
    >>> from histoscribe.expression.measured import Measured
    >>> counts = sparse.csr_matrix([[900.0, 99.0, 1.0], [500.0, 499.0, 1.0]])
    >>> section = Measured("A1", counts, ("KRT8", "ERBB2", "MALAT1"))
    >>> target = GeneTarget().fit([section])
    >>> target.names_  # MALAT1 has the same count everywhere, so that nothing can be learned of it
    ('KRT8', 'ERBB2')
    >>> Y = target.transform(section)
    >>> Y.round(2)
    array([[9.11, 6.9 ],
           [8.52, 8.52]], dtype=float32)
    >>> target.inverse(Y).round()
    array([[9000.,  990.],
           [5000., 4990.]], dtype=float32)
    """

    kind: ClassVar[str] = "genes"

    genes: str | Sequence[str] = "abundant"
    n_genes: int = 250
    scale: Scale = "log1p_cp10k"
    names_: tuple[str, ...] = field(default=(), init=False)
    dropped_: tuple[str, ...] = field(default=(), init=False)
    fitted_on_: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """Refuse impossible options."""
        if self.scale not in _UNITS:
            raise ConfigError(
                "there is no such scale", where="scale", found=self.scale, fix=nearest(self.scale, _UNITS)
            )
        if isinstance(self.genes, str):
            if self.genes not in ("abundant", "variable"):
                raise ConfigError(
                    "there is no such choice of genes",
                    where="genes",
                    expected='"abundant", "variable" or a list of names',
                    found=self.genes,
                    fix=nearest(self.genes, ("abundant", "variable")),
                )
        else:
            self.genes = tuple(dict.fromkeys(self.genes))
            if not self.genes:
                raise ConfigError("the list of genes is empty", where="genes")
        if self.n_genes < 1:
            raise ConfigError("at least one gene is needed", where="n_genes", found=self.n_genes)

    def fit(self, sections: Sequence[Measured]) -> Self:
        """Choose the genes on the training sections.

        Raises
        ------
        InputError
            No sections, no counts, no shared genes, genes of a list that a training section does not have, or
            nothing but genes with one value.
        """
        if not sections:
            raise InputError("there are no training sections", where="target")
        for section in sections:
            section.require_counts()
        shared = shared_genes(sections)
        self.fitted_on_ = tuple(section.name for section in sections)
        if isinstance(self.genes, str):
            self.names_, self.dropped_ = self._choose(sections, shared), ()
        else:
            asked = tuple(self.genes)
            _require(asked, sections, shared)
            varies = varying_genes(sections, asked)
            self.names_ = tuple(gene for gene, keep in zip(asked, varies, strict=True) if keep)
            self.dropped_ = tuple(gene for gene, keep in zip(asked, varies, strict=True) if not keep)
        if not self.names_:
            raise InputError(
                "every gene has one and the same count in all training spots",
                where=listing(self.fitted_on_),
                fix="check the counts, or ask for other genes",
            )
        return self

    def _choose(self, sections: Sequence[Measured], shared: tuple[str, ...]) -> tuple[str, ...]:
        names = [gene for gene, keep in zip(shared, varying_genes(sections, shared), strict=True) if keep]
        if not names:
            return ()
        measure = mean_share if self.genes == "abundant" else spatial_variability
        score = measure(sections, names)
        order = np.argsort(-score, kind="stable")[: self.n_genes]  # names are sorted: ties go by name
        return tuple(names[k] for k in order if np.isfinite(score[k]))

    def transform(self, section: Measured) -> NDArray[np.float32]:
        """Return the genes of a section on the chosen scale, (n, t).

        A gene that the section does not have is a column of NaN: it was not measured, which is not the same as 0.

        Raises
        ------
        ConfigError
            Before `fit`.
        InputError
            A section without counts or with none of the genes.
        """
        if not self.names_:
            raise ConfigError("the target was not fitted", where="target", fix="call fit first")
        missing = columns_of(section, self.names_) < 0
        if missing.all():
            raise InputError(
                "none of the genes was measured on this section",
                where=section.where,
                expected=listing(self.names_),
                found=listing(section.genes),
                fix="use sections with the same names of genes",
            )
        values = self.scaled(counts_of(section, self.names_), section.molecules())
        values[:, missing] = np.nan
        return values

    def counted(self, section: Measured) -> Counted:
        """Return the genes' counts, 0 where not measured, and the molecules that the scale takes them as shares of."""
        counts = counts_of(section, self.names_)
        return Counted(counts, section.molecules() if self.scale == "log1p_cp10k" else library_size(counts))

    def scaled(self, counts: Any, library: NDArray[np.float64]) -> NDArray[np.float32]:
        """Bring counts of the chosen genes, (n, t), to the scale; `library` (n,) are the molecules of each spot."""
        if self.scale == "log1p_cp10k":
            values: NDArray[np.float32] = log_per_10k(counts, library=library).toarray()
            return values
        logs = log_per_10k(counts, library=library_size(counts)).toarray()
        values = (logs / np.log(10)).astype(np.float32)
        return values

    def inverse(self, Y: NDArray[Any]) -> NDArray[np.float32]:
        """Return counts per 10,000, of the whole library or, on the panel's scale, of the chosen genes, (n, t).

        What a head predicts below 0 becomes 0. The result is a typical value, not the mean of counts: the logarithm
        of a mean is above the mean of logarithms.
        """
        logs = np.maximum(np.asarray(Y, np.float64), 0.0)
        counts = np.expm1(logs if self.scale == "log1p_cp10k" else logs * np.log(10))
        return counts.astype(np.float32)

    def record(self) -> dict[str, Any]:
        """Return what was fitted and all constants, fit for JSON."""
        return {
            "kind": self.kind,
            "genes": self.genes if isinstance(self.genes, str) else "given",
            "n_genes": self.n_genes,
            "scale": self.scale,
            "names": list(self.names_),
            "dropped": list(self.dropped_),
            "fitted_on": list(self.fitted_on_),
            "per": 10_000,
            "unit": _UNITS[self.scale],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the fitted target that `record` describes."""
        asked = record["genes"] if record["genes"] != "given" else [*record["names"], *record["dropped"]]
        target = cls(genes=asked, n_genes=int(record["n_genes"]), scale=record["scale"])
        target.names_, target.dropped_ = tuple(record["names"]), tuple(record["dropped"])
        target.fitted_on_ = tuple(record["fitted_on"])
        return target


def on_scale(per_10k: NDArray[Any], scale: Scale) -> NDArray[Any]:
    """Bring counts per 10,000 to a scale."""
    logs: NDArray[Any] = np.log1p(per_10k)
    return logs if scale == "log1p_cp10k" else logs / np.log(10)


def _require(asked: Sequence[str], sections: Sequence[Measured], shared: tuple[str, ...]) -> None:
    known = set(shared)
    missing = [gene for gene in asked if gene not in known]
    if not missing:
        return
    lacking = [section.name for section in sections if not set(missing) <= set(section.genes)]
    raise InputError(
        f"{len(missing):,} of {len(asked):,} genes of the list are not in all training sections",
        where=listing(lacking),
        expected=listing(missing),
        found=f"{len(shared):,} genes that all training sections have",
        fix=f"take them off the list, or correct the names; for {missing[0]}, {_alike(missing[0], shared)}",
    )


def _alike(gene: str, known: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in known}
    if gene.casefold() in folded:
        return f"did you mean {folded[gene.casefold()]}?"
    from difflib import get_close_matches

    close = get_close_matches(gene, known, n=3, cutoff=0.6)
    return f"did you mean {listing(close)}?" if close else "no name is like it"
