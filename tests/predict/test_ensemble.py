"""A member for every fold, each honest about what it had not seen; their mean predicts new spots."""

import json

import numpy as np
import pytest

from histoscribe.expression.ranks import within_spot_ranks
from histoscribe.predict.audit import Ledger
from histoscribe.predict.ensemble import FoldsEnsemble, fit_ensemble
from histoscribe.predict.evaluate import FoldSettings
from histoscribe.predict.fitting import prepare_training
from histoscribe.predict.splits import block_folds, outer_folds


def training_of(sections, target="genes", **options):
    ledger = Ledger(sections, [])
    settings = FoldSettings(target, options or {"n_genes": 4})
    return prepare_training(sections, settings.make_target(), ledger, seed=0), ledger


def folds_of(sections, **how):
    return outer_folds([(one.name, one.patient) for one in sections], **how)


@pytest.fixture
def fitted(make):
    sections = list(make.cohort(3).values())
    training, ledger = training_of(sections)
    folds = folds_of(sections)
    made = FoldsEnsemble("ridge", {"components": 4}, [fold.name for fold in folds])
    ensemble, unseen = fit_ensemble(made, training, folds, ledger)
    return ensemble, unseen, training, ledger


def test_each_member_is_fitted_without_one_patient(fitted):
    _, unseen, _, ledger = fitted
    ledger.check()
    seen = {
        entry["part"]: [one["section"] for one in entry["fitted_on"]]
        for entry in ledger.record()["fitted"]
        if " without " in entry["part"]
    }
    assert seen == {
        "ridge without P0": ["P1S0", "P2S0"],
        "ridge without P1": ["P0S0", "P2S0"],
        "ridge without P2": ["P0S0", "P1S0"],
    }
    assert unseen.kind == "patient"


def test_a_row_is_judged_by_the_member_that_had_not_seen_it(fitted):
    ensemble, unseen, training, _ = fitted
    rows = np.flatnonzero(unseen.groups == "P1")
    assert set(training.X.section[rows]) == {"P1S0"}
    np.testing.assert_array_equal(unseen.P[rows], ensemble.members_[1].predict(training.X.rows(rows)))


def test_new_spots_get_the_mean_of_the_members(fitted, make):
    ensemble, _, _, _ = fitted
    X = {"image@112": make.section("new", "P9").blocks["image@112"]}
    members = [member.predict(X) for member in ensemble.members_]
    np.testing.assert_allclose(ensemble.predict(X), np.mean(members, axis=0), rtol=1e-6)


def test_ranks_are_averaged_as_ranks(make):
    sections = list(make.cohort(3, abundance=True).values())
    training, ledger = training_of(sections, "abundance", ranks=True)
    folds = folds_of(sections)
    made = FoldsEnsemble("ridge", {}, [fold.name for fold in folds], ranks=True)
    ensemble, unseen = fit_ensemble(made, training, folds, ledger)
    members = [within_spot_ranks(member.predict(training.X)) for member in ensemble.members_]
    np.testing.assert_allclose(ensemble.predict(training.X), np.mean(members, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(unseen.P, within_spot_ranks(unseen.P))


def test_an_ensemble_is_read_back_from_plain_values(fitted):
    ensemble, _, training, _ = fitted
    again = FoldsEnsemble(**json.loads(json.dumps(ensemble.params()))).with_state(ensemble.state())
    assert again.predict(training.X).tobytes() == ensemble.predict(training.X).tobytes()


def test_sections_of_one_patient_and_blocks_are_no_patients(make):
    sections = list(make.cohort(1, sections=3).values())
    for some, folds, kind in (
        (sections, folds_of(sections, by="section"), "section"),
        (sections[:1], block_folds(sections[0].name, sections[0].xy_um, guard_um=50.0), "block"),
    ):
        training, ledger = training_of(some)
        made = FoldsEnsemble("mean", {}, [fold.name for fold in folds])
        _, unseen = fit_ensemble(made, training, folds, ledger)
        assert unseen.kind == kind
        assert set(unseen.groups) == {fold.name for fold in folds}


def test_the_mean_errs_no_more_than_its_members_on_average(fitted, make):
    """What the intervals rely on: they are made from single members, and are used around the mean."""
    ensemble, _, training, _ = fitted
    new = make.section("new", "P9")
    X, Y = {"image@112": new.blocks["image@112"]}, training.target.transform(new.measured)
    alone = [((member.predict(X) - Y) ** 2).mean() for member in ensemble.members_]
    assert ((ensemble.predict(X) - Y) ** 2).mean() <= np.mean(alone) + 1e-9
