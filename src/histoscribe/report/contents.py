"""What a report is made of: plain data, checked once, before anything is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, listing
from histoscribe.report.report_figure import ReportFigure
from histoscribe.section import Section

DOMAIN_COLUMNS = ("barcode", "domain", "confidence")
LEVELS = ("ok", "open", "warning", "refused")


@dataclass(frozen=True, slots=True, eq=False)
class DomainFacts:
    """How the domains differ, as tables.

    Parameters
    ----------
    markers
        From `domains.markers.marker_genes`, or None where there are no counts.
    morphology
        From `describe_features`, or None where there is no picture.
    neighbours
        From `domain_neighbours`, or None.
    """

    markers: pd.DataFrame | None = None
    morphology: pd.DataFrame | None = None
    neighbours: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ReportContents:
    """Everything that one report shows.

    Parameters
    ----------
    section
        The section; its image is read once, as an overview.
    domains
        One row per spot that got a domain: `barcode`, `domain` (1..K), `confidence` (NaN where not known). Any order;
        spots of the section that are absent here are drawn grey. None where no domains were looked for.
    tissue_mask
        True on tissue, (h, w) bool, or None.
    tissue_downsample
        Level-0 pixels that one pixel of the mask spans.
    embedding
        float32 (n, d), rows as in `section.spots`, or None.
    umap
        (n, 2) places of the spots by UMAP, NaN for spots without one; or None.
    preflight
        `findings`: a list of `{name, level, message, evidence, fix}`, level one of "ok", "open", "warning", "refused";
        `mpp_by_source`: microns per pixel by source, {"spot pitch": 0.69}. Both may be absent.
    evidence
        Of the number of domains: `requested` and, where it was chosen, `choice` with `numbers`, `stability`, `chosen`
        and `rule`, beside whatever else the method reports. All may be absent.
    scores
        Agreement with given labels beside its floors: {"ari": {"score": 0.8, "coordinates": 0.3, "colour": 0.4}}; None
        where no labels were given.
    record
        `versions` (name to version), `configuration` (stage to its settings; of "embed" `tiles`, `encoder`, the card,
        and `stain`) and `inputs` ([{path, bytes, sha256}]). All may be absent.
    notes
        What a reader of the result should know, one sentence each.
    facts
        How the domains differ.
    figures
        Further figures, already drawn.
    advice
        One sentence on whether to use what was predicted, and why; "" where nothing was.

    Raises
    ------
    ConfigError
        Where the parts do not fit each other.
    """

    section: Section
    domains: pd.DataFrame | None
    tissue_mask: NDArray[np.bool_] | None = None
    tissue_downsample: float = 1.0
    embedding: NDArray[np.float32] | None = None
    umap: NDArray[np.float64] | None = None
    preflight: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] | None = None
    record: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    facts: DomainFacts = field(default_factory=DomainFacts)
    figures: tuple[ReportFigure, ...] = ()
    advice: str = ""

    def __post_init__(self) -> None:
        """Check that the parts belong to one section."""
        if self.domains is not None:
            _check_rows(self.section, self.domains)
        n = self.section.spots.n_obs
        if self.embedding is not None and (self.embedding.ndim != 2 or len(self.embedding) != n):
            raise ConfigError(
                "the embedding does not belong to these spots",
                where="report",
                expected=f"{n:,} rows, one per spot",
                found=f"an array of shape {self.embedding.shape}",
            )
        for finding in self.preflight.get("findings", ()):
            if finding.get("level") not in LEVELS or not {"name", "message"} <= set(finding):
                raise ConfigError(
                    "a preflight finding has no name, message or known level",
                    where="report",
                    expected=f"name, message and a level: {listing(LEVELS)}",
                    found=finding,
                )

    @property
    def n_domains(self) -> int:
        """How many different domains there are."""
        return 0 if self.domains is None else int(self.domains["domain"].nunique())

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of each stage, by its name."""
        return self.record.get("configuration") or {}


def _check_rows(section: Section, domains: pd.DataFrame) -> None:
    missing = [column for column in DOMAIN_COLUMNS if column not in domains]
    if missing:
        raise ConfigError(
            f"the table of domains has no column {listing(missing)}",
            where="report",
            expected=f"columns {listing(DOMAIN_COLUMNS)}",
            found=listing(domains.columns),
        )
    barcodes = domains["barcode"].astype(str)
    unknown = barcodes[~barcodes.isin(section.spots.obs_names)]
    if len(unknown):
        raise ConfigError(
            f"{len(unknown):,} barcodes of the table of domains are not among the section's spots",
            where="report",
            found=listing(unknown, 3),
        )
    if barcodes.duplicated().any():
        raise ConfigError(
            "barcodes occur more than once in the table of domains",
            where="report",
            found=listing(barcodes[barcodes.duplicated()].unique(), 3),
        )
    numbers = pd.to_numeric(domains["domain"], errors="coerce")
    if numbers.isna().any() or (numbers < 1).any() or (numbers % 1 != 0).any():
        raise ConfigError("domains must be whole numbers from 1", where="report")
