"""What is found in a section: domains, what distinguishes them, how well they agree with known ones, and fine maps."""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd

from histoscribe.api.objects import open_object
from histoscribe.api.options import DomainOptions, MapOptions, ReadingOptions, config_of, require_known, settings_of
from histoscribe.domains.markers import marker_genes
from histoscribe.errors import ConfigError, InputError
from histoscribe.io.labels import text_labels
from histoscribe.maps.read import Maps
from histoscribe.maps.store import read_map
from histoscribe.report.palette import domain_hex
from histoscribe.run.in_memory import stages_done
from histoscribe.run.maps.plan import plan_maps
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.section.blocks import spot_graph
from histoscribe.run.section.files import MAPS
from histoscribe.run.section.finished import read_domains, read_evidence, read_latent
from histoscribe.run.section.plan import Plan, plan_run
from histoscribe.run.section.score import score_of


def domains(
    data: Any,
    *,
    n_domains: int | None = None,
    key_added: str = "domain",
    copy: bool = False,
    **options: Unpack[DomainOptions],
) -> Any | None:
    """Find the tissue domains of a section, from counts, picture or both, as the command `histoscribe domains` does.

    Parameters
    ----------
    data
        AnnData with `obsm["spatial"]`, SpatialData, or Section; raw counts in `X`, `layers["counts"]` or `raw`.
    n_domains
        Number of domains, obeyed exactly; chosen with evidence where not given.
    key_added
        Column of `obs` for the domains.
    copy
        Return a copy with the result instead of writing into `data`.
    options
        As of `DomainOptions`.

    Returns
    -------
    The copy, or None. Written are `obs[key_added]`, categories "1" (the largest), "2", ...;
    `obs[key_added + "_confidence"]`, from 0 to 1; `uns[key_added]`, the settings and how the number was chosen;
    `uns[key_added + "_colors"]`; and `obsm["X_niche"]`, named by the method, the features that were divided. Spots that
    the object calls off tissue get none.

    Raises
    ------
    InputError
        Where the parts of the section do not fit each other, or there is nothing to find domains in.
    ConfigError
        Where an option is unknown or cannot be.

    Examples
    --------
    >>> from pathlib import Path
    >>> import histoscribe as hs
    >>> from histoscribe.phantom import write_spaceranger
    >>> phantom = hs.make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3)
    >>> sdata = hs.read(write_spaceranger(phantom, Path("my_section")))
    >>> hs.tl.domains(sdata, n_domains=3)
    >>> sdata["table"].obs["domain"].value_counts().index.tolist()
    ['1', '2', '3']
    """
    require_known(options, DomainOptions)
    config = config_of(options, n_domains=n_domains)
    opened = open_object(data, options, copy=copy)
    given = opened.checked()
    plan = plan_run(given, config, command="domains")
    with stages_done(given, plan, opened.listen) as folder:
        table = read_domains(folder, given.section.spots.obs_names)
        evidence, latent = read_evidence(folder), read_latent(folder, given.section)
    labels = table["domain"].to_numpy(np.int64)
    opened.add_category(key_added, labels, [domain_hex(k) for k in range(1, int(labels.max()) + 1)])
    opened.add_column(f"{key_added}_confidence", table["confidence"].to_numpy(np.float64))
    if latent is not None:
        opened.add_matrix(f"X_{evidence['method']}", latent)
    opened.add_facts(key_added, {"settings": config.record(), "evidence": evidence, "notes": list(given.notes)})
    return opened.data if copy else None


def markers(
    data: Any, *, key: str = "domain", n_markers: int | None = None, **options: Unpack[ReadingOptions]
) -> pd.DataFrame:
    """Genes that are higher in one group of spots than in the rest of the section.

    There are effect sizes and no p-values: among thousands of spots every difference is significant, and domains are
    found in the same counts that a test would be made on.

    Parameters
    ----------
    data, options
        As of `domains`.
    key
        Column of `obs` with the groups: domains, or any clusters. Spots without a group, and those whose measurement
        failed, take no part.
    n_markers
        At most so many for each group; all genes that are higher there where not given.

    Returns
    -------
    One row per group and marker, strongest first, as of `histoscribe.domains.markers.marker_genes`; also kept as
    `uns[key + "_markers"]`.

    Raises
    ------
    InputError
        Where there is no such column, there are no counts, or there are fewer than two groups.
    """
    require_known(options, ReadingOptions)
    opened = open_object(data, options)
    section = opened.checked().section
    if not section.has_counts:
        raise InputError("there are no counts to find markers in", found="; ".join(opened.reading.notes) or None)
    groups, names = opened.groups(key)
    known = (groups > 0) & section.measured
    found = marker_genes(
        section.spots.X[known],
        groups[known],
        genes=list(section.spots.var_names.astype(str)),
        graph=spot_graph(section)[known][:, known],
        n_markers=section.spots.n_vars if n_markers is None else n_markers,
    )
    found["domain"] = [names[number - 1] for number in found["domain"]]
    opened.table.uns[f"{key}_markers"] = found
    return found


def score(data: Any, *, labels: str, key: str = "domain", **options: Unpack[ReadingOptions]) -> dict[str, Any]:
    """Score domains against known ones, every score beside what coordinates, colour and depth alone reach.

    Parameters
    ----------
    data, options
        As of `domains`.
    labels
        Column of `obs` with the known domains; spots where it is empty, "NA" or "undetermined" are left out.
    key
        Column of `obs` with the domains to be scored.

    Returns
    -------
    `ari`, `nmi`, `boundary` and `coherence`, each with `score` and the floors `coordinates`, `colour` and `depth`
    (None where there is no picture or no counts), and how many spots were scored.

    Raises
    ------
    InputError
        Where there is no such column, or not one spot has a label.
    """
    require_known(options, ReadingOptions)
    opened = open_object(data, options)
    section = opened.checked().section
    truth = text_labels(opened.column(labels))
    return score_of(section, opened.groups(key)[0], truth)


def maps(data: Any, *, genes: str | Sequence[str], um: float = 8.0, **options: Unpack[MapOptions]) -> Maps:
    """Map genes on the tissue of a section, finer than its spots, as the command `histoscribe map` does.

    Parameters
    ----------
    data
        As of `domains`; with a picture.
    genes
        Names, "A,B,C", "top:50" (the most abundant) or "all".
    um
        Side of a cell of the raster in microns.
    options
        As of `MapOptions`.

    Returns
    -------
    The maps: any gene as a raster in microns, means under spots, 90 % intervals, and AnnData of the cells. A
    SpatialData object also gets the rasters as `images["genes"]` (molecules per cell, a channel a gene, at most 50),
    what any gene is decoded from as `images["factors"]` and `tables["loadings"]`, and the mapped area as
    `labels["mapped"]`.

    Raises
    ------
    HistoscribeError
        Where the parts of the section do not fit each other, or a gene or an option is refused.
    """
    require_known(options, MapOptions)
    settings = settings_of(options, MapSettings()).asking(genes, um=um)
    opened = open_object(data, options)
    given = opened.checked(picture=True)
    plan = plan_maps(given, settings)
    if plan.markers is not None:
        raise ConfigError(
            "genes are not chosen by their domains here",
            where="genes",
            found=genes,
            fix="name them, from hs.tl.markers",
        )
    with stages_done(given, Plan(maps=plan), opened.listen) as folder:
        found = Maps(read_map(folder / MAPS))
    opened.add_maps(found)
    opened.add_facts("maps", {"settings": plan.used(), "genes": list(found.genes)})
    return found
