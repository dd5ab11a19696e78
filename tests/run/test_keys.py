"""Every setting reaches the keys of the stages that read it, and of no other: nothing stale is taken for new."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest

from histoscribe.errors import ConfigError
from histoscribe.nuclei.classical import ClassicalSegmenter
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.events import silent
from histoscribe.run.inputs import read_input, read_slide
from histoscribe.run.job import Job
from histoscribe.run.maps.plan import plan_maps
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.requests import ReadOptions, requests_of
from histoscribe.run.section import chain
from histoscribe.run.section.plan import NucleiPlan, Plan, build_segmenter, plan_run, plan_saved_tiles
from histoscribe.run.section.settings import NucleiSettings, RunConfig, SavedTileSettings
from histoscribe.run.settings import refuse_unused
from histoscribe.store.draft import StageDone


class Recorded:
    """Stands for a draft: no stage is done, its key is remembered."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys, self.older, self.listed = folder, {}, {}, set()

    def stage(self, name, key, work, *, made_of=None, resumable=False):
        self.keys[name] = key
        facts = {"nuclei": 5, "n_domains": 3, "genes": 2, "cells": 9, "tiles": 4, "px": 8}
        return StageDone(self.folder, facts, reused=True)

    def publish(self, record):
        self.record = record


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """The draft in which the chain records the keys of its stages, without doing any of them."""
    draft = Recorded(tmp_path)

    @contextmanager
    def writing(folder: Path) -> Iterator[Recorded]:
        draft.keys = {}
        yield draft

    monkeypatch.setattr(chain, "writing_result", writing)
    return draft


@pytest.fixture
def chain_keys(vendor, tmp_path, recorded):
    """Keys of the chain's stages for a configuration."""

    def of(config: RunConfig, path: Path = vendor) -> dict[str, str]:
        (request,) = requests_of(path, config)
        chain.run_section(request, out=tmp_path / "r", config=config, listen=silent)
        return recorded.keys

    return of


BASE = RunConfig(encoder="morphology", n_domains=3, nuclei="classical", maps="top:2")
FOUND = {"domains", "describe", "section", "report"}
ALL = {"check", "embed", "nuclei", "cells", "maps", *FOUND}
# a setting, another value for it, and the stages that read it or read what such a stage makes
CHANGES = {
    "encoder": ("CARD", {"embed", "cells", "maps", *FOUND}),
    "tile_um": (90.0, {"embed", *FOUND}),
    "method": ("histology", FOUND),
    "n_domains": (4, FOUND),
    "consensus": (True, FOUND),
    "weights": ({"image": 2.0}, FOUND),
    "neighbours": (9, FOUND),
    "components": (5, FOUND),
    "clustering": ("leiden", FOUND),
    "edge_weight": ("cosine", FOUND),
    "efnst": ({"epochs": 3}, FOUND),
    "umap": (True, {"umap", "section", "report"}),
    "stain": ("macenko", {"embed", *FOUND}),
    "stain_reference": ("VENDOR", {"embed", *FOUND}),
    "align": (True, ALL),
    "nuclei": ("none", FOUND | {"nuclei"}),
    "nuclei_model": ("MODEL", FOUND | {"nuclei"}),
    "nuclei_prob_threshold": (0.6, FOUND | {"nuclei"}),
    "nuclei_nms_threshold": (0.3, FOUND | {"nuclei"}),
    "maps": ("top:3", {"maps", "report"}),
    "map_um": (16.0, {"cells", "maps", "report"}),
    "device": ("cpu", {"embed", "cells", "maps", *FOUND}),
    "precision": ("float32", {"embed", "cells", "maps", *FOUND}),
    "seed": (7, {"maps", *FOUND}),
    # how the input is read and named: the input's own record has it, on which every stage depends
    "anonymous": (True, ALL),
    "allow_damaged": (True, ALL),
    "section": ("other", ALL),
}


OF_SEVERAL = ("joint", "skip_refused", "section_column")  # see test_joint.py, and io/test_merged.py for the last


@pytest.mark.parametrize("name", [item.name for item in fields(RunConfig) if item.name not in OF_SEVERAL])
def test_a_setting_of_a_run_changes_the_stages_that_read_it_and_no_other(
    name, chain_keys, vendor, tmp_path, monkeypatch
):
    # which segmenter takes which of them is another test's
    monkeypatch.setattr("histoscribe.run.section.plan.build_segmenter", lambda settings: ClassicalSegmenter())
    value, expected = CHANGES[name]
    (tmp_path / "model.zip").write_bytes(b"weights")
    (tmp_path / "mine.toml").write_text('like = "morphology"\nname = "mine"\n')
    named = {"CARD": str(tmp_path / "mine.toml"), "VENDOR": str(vendor), "MODEL": tmp_path / "model.zip"}
    value = named.get(value, value) if isinstance(value, str) else value
    base = replace(BASE, **{"edge_weight": {"clustering": "leiden"}, "efnst": {"method": "efnst"}}.get(name, {}))
    if name in ("stain", "stain_reference"):  # given together or not at all
        base = replace(BASE, stain="reinhard", stain_reference=str(vendor))
        if name == "stain_reference":
            base, value = BASE, str(vendor)
            changed = chain_keys(replace(BASE, stain="macenko", stain_reference=value))
            before = chain_keys(base)
            assert {stage for stage in before if before[stage] != changed[stage]} == expected
            return
    before, after = chain_keys(base), chain_keys(replace(base, **{name: value}))
    assert {stage for stage in before.keys() | after.keys() if before.get(stage) != after.get(stage)} == expected


FOLD, EMBED = {"fold"}, {"embed", "fold"}
PREDICT_CHANGES = {
    "align": (True, FOLD),
    "target": ("abundance", FOLD),
    "heads": (("knn",), FOLD),
    "by": ("section", FOLD),
    "genes": ("variable", FOLD),
    "n_genes": (11, FOLD),
    "scale": ("log10_panel", FOLD),
    "ranks": (False, FOLD),
    "encoders": (("morphology", "efficientnet_b0"), FOLD),
    "tile_um": ((90.0,), EMBED),
    "neighbours": (False, FOLD),
    "standardise": ("none", FOLD),
    "stain": ("macenko", FOLD),
    "off_tissue": ("drop", EMBED),
    "background": ("white", EMBED),
    "mpp": (2.0, EMBED),
    "pixel_tile_um": (200.0, FOLD),
    "pixel_px": (64, FOLD),
    "level": (0.8, FOLD),
    "device": ("cpu", EMBED),
    "precision": ("float32", EMBED),
    "seed": (7, FOLD),
    "stacks": (("ridge", "mlp"), FOLD),
    "skip_refused": (True, FOLD),
    "ensemble": ("folds", FOLD),
    "head_options": ({"ridge": {"components": 3}}, FOLD),
    "anonymous": (True, FOLD),
    "allow_damaged": (True, FOLD),
    "section": ("other", FOLD),
}


@pytest.mark.parametrize("name", [item.name for item in fields(PredictOptions) if item.name not in OF_SEVERAL])
def test_an_option_of_an_evaluation_changes_the_stages_that_read_it_and_no_other(name, tmp_path):
    """The stages are given the options themselves; what an encoder or a stain is fitted on comes beside them."""

    def keys(options: PredictOptions) -> dict[str, str]:
        draft = Recorded(tmp_path)
        job = Job(draft, "S1", {"files": []}, silent)
        job.stage("embed", options.of_tiles(), lambda to: {})
        job.stage("fold", {"options": options}, lambda to: {}, after=["embed"])
        return draft.keys

    value, expected = PREDICT_CHANGES[name]
    base = PredictOptions(encoders=("morphology",))
    before, after = keys(base), keys(replace(base, **{name: value}))
    assert {stage for stage in before if before[stage] != after[stage]} == expected


MAPPED = {"maps", "report"}
MAP_CHANGES = {
    "genes": ("top:3", MAPPED),
    "um": (32.0, {"cells", *MAPPED}),
    "encoder": ("none", {"cells", *MAPPED}),
    "mapper": ("autoencoder", {"cells", "training", *MAPPED}),
    "device": ("cpu", {"cells", *MAPPED}),
    "precision": ("float32", {"cells", *MAPPED}),
    "seed": (7, MAPPED),
    "bins": ("8", {"cells", *MAPPED}),
    "qc": ("published", MAPPED),
    "min_genes_per_spot": (1, MAPPED),
    "min_spots_per_gene": (2, MAPPED),
    "max_counts_per_spot": (90_000, MAPPED),
    "autoencoder": ({"rank": 5}, {"training", *MAPPED}),
    "align": (True, {"check", "cells", *MAPPED}),
    "anonymous": (True, {"check", "cells", *MAPPED}),
    "allow_damaged": (True, {"check", "cells", *MAPPED}),
    "section": ("other", {"check", "cells", *MAPPED}),
}


@pytest.mark.parametrize("name", [item.name for item in fields(MapSettings) if item.name not in OF_SEVERAL])
def test_a_setting_of_a_map_changes_the_stages_that_read_it_and_no_other(name, vendor, tmp_path, recorded):
    def keys(settings: MapSettings) -> dict[str, str]:
        (request,) = requests_of(vendor, settings)
        given = read_slide(request)
        chain.run_chain(given, Plan(maps=plan_maps(given, settings, hd=True)), out=tmp_path / "r", listen=silent)
        return recorded.keys

    value, expected = MAP_CHANGES[name]
    base = MapSettings(genes="top:2", mapper="autoencoder" if name == "autoencoder" else "dense")
    before, after = keys(base), keys(replace(base, **{name: value}))
    assert {stage for stage in before.keys() | after.keys() if before.get(stage) != after.get(stage)} == expected


@pytest.mark.parametrize("mapper", ["dense", "autoencoder"])
def test_maps_of_markers_read_what_distinguishes_the_domains(mapper, vendor, tmp_path, recorded):
    def keys(n_domains: int) -> dict[str, str]:
        config = RunConfig("morphology", n_domains=n_domains)
        (request,) = requests_of(vendor, config)
        given = read_slide(request)
        maps = plan_maps(given, MapSettings(genes="markers", mapper=mapper))
        chain.run_chain(given, replace(plan_run(given, config), maps=maps), out=tmp_path / "r", listen=silent)
        return recorded.keys

    before, after = keys(3), keys(4)
    trained = {"training"} if mapper == "autoencoder" else set()
    assert {stage for stage in before if before[stage] != after[stage]} == FOUND | {"maps"} | trained


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"nuclei": "classical"}, "nuclei"),
        ({"maps": "top:2"}, "maps"),
        ({"align": True}, "align"),
        ({"stain": "macenko", "stain_reference": "x.tif"}, "stain"),
    ],
)
def test_a_setting_that_needs_a_picture_is_refused_where_there_is_none(given, name, vendor, tmp_path, chain_keys):
    import histoscribe as hs

    hs.read_section(vendor).spots.write_h5ad(tmp_path / "spots.h5ad")
    with pytest.raises(ConfigError, match=f"no use for(.|\n)*{name}"):
        chain_keys(RunConfig(encoder="morphology", **given), tmp_path / "spots.h5ad")


def test_a_setting_that_is_refused_is_named_with_its_reason():
    with pytest.raises(ConfigError, match=r"no use for n_genes here(.|\n)*n_genes = 3: cell types are predicted"):
        PredictOptions(target="abundance", n_genes=3).refuse_unused(command="evaluate")
    refuse_unused(PredictOptions(), {"seed": "no reason"}, command="fit")  # as it is by default


NUCLEI_CHANGES = {
    "segmenter": ("stardist", {"nuclei", "report"}),
    "model": ("MODEL", {"nuclei", "report"}),
    "prob_threshold": (0.6, {"nuclei", "report"}),
    "nms_threshold": (0.3, {"nuclei", "report"}),
    "block_px": (1024, {"nuclei", "report"}),
    "device": ("cpu", {"nuclei", "report"}),
    "align": (True, {"check", "nuclei", "report"}),
    "anonymous": (True, {"check", "nuclei", "report"}),
    "allow_damaged": (True, {"check", "nuclei", "report"}),
    "section": ("other", {"check", "nuclei", "report"}),
}


@pytest.mark.parametrize("name", [item.name for item in fields(NucleiSettings) if item.name not in OF_SEVERAL])
def test_a_setting_of_nuclei_changes_the_stages_that_read_it_and_no_other(name, vendor, tmp_path, recorded):
    def keys(settings: NucleiSettings) -> dict[str, str]:
        (request,) = requests_of(vendor, settings)
        plan = Plan(nuclei=NucleiPlan(build_segmenter(NucleiSettings()), settings))  # weights are another test's
        chain.run_chain(read_slide(request), plan, out=tmp_path / "r", listen=silent)
        return recorded.keys

    value, expected = NUCLEI_CHANGES[name]
    (tmp_path / "model.zip").write_bytes(b"weights")
    value = tmp_path / "model.zip" if value == "MODEL" else value
    before, after = keys(NucleiSettings()), keys(replace(NucleiSettings(), **{name: value}))
    assert {stage for stage in before if before[stage] != after[stage]} == expected


SAVED_TILES_CHANGES = {
    "tile_um": ("auto", {"tiles", "report"}),
    "px": (31, {"tiles", "report"}),
    "align": (True, {"check", "tiles", "report"}),
    "anonymous": (True, {"check", "tiles", "report"}),
    "allow_damaged": (True, {"check", "tiles", "report"}),
    "section": ("other", {"check", "tiles", "report"}),
}


@pytest.mark.parametrize("name", [item.name for item in fields(SavedTileSettings) if item.name not in OF_SEVERAL])
def test_a_setting_of_saved_tiles_changes_the_stages_that_read_it_and_no_other(name, vendor, tmp_path, recorded):
    def keys(settings: SavedTileSettings) -> dict[str, str]:
        (request,) = requests_of(vendor, settings)
        given = read_input(request)
        plan = Plan(saved_tiles=plan_saved_tiles(given, settings))
        chain.run_chain(given, plan, out=tmp_path / "r", listen=silent)
        return recorded.keys

    value, expected = SAVED_TILES_CHANGES[name]
    before, after = keys(SavedTileSettings()), keys(replace(SavedTileSettings(), **{name: value}))
    assert {stage for stage in before if before[stage] != after[stage]} == expected


def test_how_the_input_is_read_is_a_part_of_every_commands_settings():
    reading = {item.name for item in fields(ReadOptions)}
    for kind in (RunConfig, MapSettings, NucleiSettings, PredictOptions, SavedTileSettings):
        assert reading <= {item.name for item in fields(kind)}


def test_stages_of_an_older_result_are_kept_in_the_order_of_their_making(tmp_path):
    class Kept(Recorded):
        def can_keep(self, name):
            return True

        def keep(self, name):
            self.kept.append(name)

    place = Kept(tmp_path)
    place.kept = []
    made = Job(place, "S1", {}, silent)
    for name, after in (("describe", []), ("training", ["describe"]), ("maps", ["describe", "training"])):
        made.stage(name, None, lambda to: {}, after=after)
    place.older = {name: {"key": made.keys[name], "made_of": made.made_of[name]} for name in made.keys}
    job = Job(place, "S1", {}, silent)
    assert job.keep(place, "maps")
    assert place.kept == ["describe", "training", "maps"]
    place.older["describe"]["made_of"] = {"after": ["maps"]}  # a circle
    assert not Job(place, "S1", {}, silent).keep(place, "maps")
