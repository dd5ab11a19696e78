"""Preparation: whether the parts of a section fit each other, its tissue, its nuclei, and its picture in numbers."""

from typing import Any, Unpack

import pandas as pd

from histoscribe.api.objects import open_object
from histoscribe.api.options import EmbeddingOptions, ReadingOptions, config_of, require_known
from histoscribe.io.preflight import preflight
from histoscribe.run.in_memory import stages_done
from histoscribe.run.section.files import NUCLEI
from histoscribe.run.section.finished import read_embedding
from histoscribe.run.section.nuclei import read_nuclei_element, read_nuclei_table
from histoscribe.run.section.plan import NucleiPlan, Plan, build_segmenter, plan_tiles
from histoscribe.run.section.settings import NucleiSettings
from histoscribe.run.section.stages import tissue_element
from histoscribe.section import TISSUE


def check(data: Any, *, strict: bool = False, **options: Unpack[ReadingOptions]) -> pd.DataFrame:
    """Say whether picture, spots and counts of a section belong together; nothing is written.

    Every other function makes the same check first and refuses what does not fit.

    Parameters
    ----------
    data
        AnnData with `obsm["spatial"]` (scanpy's Visium form, or any spots in pixels of the picture), SpatialData, or
        Section.
    strict
        Whether to raise where the section is refused.
    options
        As of `ReadingOptions`.

    Returns
    -------
    One row per finding, indexed by what was checked: `level` ("ok", "open" where nothing tells, "warning" or
    "refused"), `message`, `fix`.

    Raises
    ------
    InputError
        Where no section can be read of it; with `strict`, also where its parts do not fit each other.

    Examples
    --------
    >>> import histoscribe as hs
    >>> section = hs.Section.from_anndata(hs.make_phantom(7, size_um=1200.0, mpp=1.0).spots(), name="A1")
    >>> hs.pp.check(section).loc["counts", "level"]
    'ok'
    """
    require_known(options, ReadingOptions)
    found = preflight(open_object(data, options).reading)
    if strict:
        found.raise_if_refused()
    rows = [(finding.name, finding.level, finding.message, finding.fix) for finding in found.findings]
    return pd.DataFrame(rows, columns=["check", "level", "message", "fix"]).set_index("check")


def tissue(
    data: Any, *, key_added: str = "on_tissue", copy: bool = False, **options: Unpack[ReadingOptions]
) -> Any | None:
    """Find the tissue on the picture.

    Parameters
    ----------
    data, options
        As of `check`.
    key_added
        Column of `obs` that says which spots lie on tissue.
    copy
        Return a copy with the result instead of writing into `data`.

    Returns
    -------
    The copy, or None. `obs[key_added]` is bool; a SpatialData object gets the mask as `labels["tissue"]` too.

    Raises
    ------
    InputError
        Where there is no picture, or the parts of the section do not fit each other.
    """
    require_known(options, ReadingOptions)
    opened = open_object(data, options, copy=copy)
    given = opened.checked(picture=True)
    opened.add_column(key_added, given.mask.at(given.section.xy_px))
    opened.add_element("labels", TISSUE, tissue_element(given.mask, mpp=given.section.mpp))
    return opened.data if copy else None


def embed(
    data: Any,
    *,
    encoder: str = "morphology",
    key_added: str | None = None,
    copy: bool = False,
    **options: Unpack[EmbeddingOptions],
) -> Any | None:
    """Turn the picture around every spot into numbers.

    Parameters
    ----------
    data
        As of `check`.
    encoder
        Name of an encoder (`histoscribe encoders` lists them) or path of a card; "morphology" needs no weights.
    key_added
        Of `obsm`; "X_" and the encoder's name where not given.
    copy
        Return a copy with the result instead of writing into `data`.
    options
        As of `EmbeddingOptions`.

    Returns
    -------
    The copy, or None. `obsm[key_added]` is float32 (n, d), a row a spot; `uns[key_added]` the settings.

    Raises
    ------
    InputError
        Where there is no picture, or the parts of the section do not fit each other.
    ConfigError, WeightsError
        Where an option, the encoder or its weights are refused.
    """
    require_known(options, EmbeddingOptions)
    config = config_of(options, encoder=encoder)
    opened = open_object(data, options, copy=copy)
    given = opened.checked(picture=True)
    plan = plan_tiles(given.section, config)
    key = key_added or f"X_{plan.encoder.card.name}"
    with stages_done(given, Plan(tiles=plan), opened.listen) as folder:
        opened.add_matrix(key, read_embedding(folder, given.section))
    opened.add_facts(key, {"encoder": plan.encoder.card.name, **plan.settings.record()})
    return opened.data if copy else None


def nuclei(
    data: Any,
    *,
    segmenter: str = "classical",
    key_added: str = "nuclei",
    copy: bool = False,
    settings: NucleiSettings | None = None,
    **options: Unpack[ReadingOptions],
) -> Any | None:
    """Find the nuclei on the picture, and measure those under each spot.

    Parameters
    ----------
    data, options
        As of `check`.
    segmenter
        "classical" needs no weights; "stardist" and "instanseg" are networks.
    key_added
        Of `obsm`, and of a SpatialData object's labels.
    copy
        Return a copy with the result instead of writing into `data`.
    settings
        Weights and thresholds of the segmenter.

    Returns
    -------
    The copy, or None. `obsm[key_added]` is a table (n, 20): number, density, size, shape and stain of the nuclei under
    each spot. A SpatialData object gets their labels too, held in memory.

    Raises
    ------
    InputError
        Where there is no picture, or the parts of the section do not fit each other.
    ConfigError, WeightsError
        Where an option, the segmenter or its weights are refused.
    """
    require_known(options, ReadingOptions)
    asked = (settings or NucleiSettings()).updated(segmenter=segmenter)
    plan = Plan(nuclei=NucleiPlan(build_segmenter(asked), asked))
    opened = open_object(data, options, copy=copy)
    given = opened.checked(picture=True)
    with stages_done(given, plan, opened.listen) as folder:
        opened.add_matrix(key_added, read_nuclei_table(folder / NUCLEI, given.section.spots.obs_names))
        opened.add_element("labels", key_added, read_nuclei_element(folder / NUCLEI).persist())
    opened.add_facts(key_added, asked.record())
    return opened.data if copy else None
