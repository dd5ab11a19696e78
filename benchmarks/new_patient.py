"""Claim: on a patient that was never shown, nine in ten measurements lie in their 90 % interval, at any depth.

Patients C and A of her2st each predict the other; the prior on the shift between patients is made without the patient
that is tested. The olfactory bulb, one section left out at a time, and patient C, LEAKY, have no new patient and no
prior. Every number stands for spots at their own depth, for thirds of them by depth, and for copies of the test
sections with a half, a quarter and a sixteenth of the molecules. Beside it stand the intervals of residuals on the
scale of ln(1 + counts per 10,000), which know neither depth nor patients; the noise of counting alone; and intervals
that are told the new patient's own mean of every gene. The cards: what they call "use", and how well they foretell
which genes correlate at .1 with the depth taken out, beside the gene's abundance and its ceiling as foretellers.
"""

import argparse

import numpy as np
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from histoscribe.expression.counted import Counted
from histoscribe.expression.depth import partial_pearson
from histoscribe.expression.gene_target import GeneTarget
from histoscribe.predict.audit import Ledger
from histoscribe.predict.calibration import THINNED, calibration_of
from histoscribe.predict.conformal import Conformal, coverage
from histoscribe.predict.context import Context
from histoscribe.predict.count_intervals import CountIntervals
from histoscribe.predict.data import inputs_of
from histoscribe.predict.fitting import cards_of, fit_whole, predict_unseen, prepare_training
from histoscribe.predict.gene_card import card_auroc
from histoscribe.predict.patient_shift import mean_and_spread
from patient_shift import Patients
from support.expression import BULB, PATIENT_A, PATIENT_C, observed

LEVEL, GENES, REACHED = 0.9, 250, 0.1
DEPTHS = {"own": 1.0, **THINNED}


class Trained:
    """A head on some sections, with all intervals that are compared."""

    def __init__(self, sections, head: str, prior) -> None:
        ledger = Ledger(sections, [])
        self.training = prepare_training(sections, GeneTarget(n_genes=GENES), ledger, seed=0)
        self.unseen = predict_unseen(head, self.training, ledger, options={}, seed=0)
        self.head = fit_whole(head, self.training, ledger, options={}, seed=0)
        counted = [self.training.counted[one.name] for one in sections]
        between = None
        if prior is not None and self.unseen.kind != "patient":
            between = prior.variance(*mean_and_spread(counted))
        P, groups, stacked = self.unseen.P, self.unseen.groups, Counted.stacked(counted)
        self.made = CountIntervals(LEVEL).fit(stacked, groups, predictions=P, between_patients=between)
        self.residuals = Conformal(LEVEL).fit(self.training.Y - P, groups, predictions=P)
        self.alone = CountIntervals(LEVEL).fit(stacked, groups, predictions=P, between_patients=None)
        self.told = CountIntervals.from_state(self.alone.state(), scale=self.alone.scale)
        self.alone.spread_, self.alone.shift_ = self.alone.spread_ * 0, self.alone.shift_ * 0
        self.told.shift_ = self.told.shift_ * 0

    def told_of(self, counted: Counted, P) -> CountIntervals:
        """Intervals of the residual biology alone, about the section's own mean of every gene."""
        made = CountIntervals.from_state(self.told.state(), scale=self.told.scale)
        expected = counted.total @ made.share_.predict(P)
        seen = np.asarray(counted.counts.sum(axis=0)).ravel()
        made.share_.level_ = made.share_.level_ + np.log((seen + 0.5) / (expected + 0.5))
        return made

    def covered(self, section, rng) -> dict[str, float]:
        """Coverage of every interval on one section, at every depth."""
        target, P = self.training.target, self.head.predict(inputs_of([section], depth=False))
        counted = target.counted(section.require_measured())
        measured = np.ones(P.shape[1], bool)
        found = calibration_of(self.made, counted, P, measured=measured, seed=0)
        rows = {f"third_{third}": share for third, share in found["depth"].items()}
        told = self.told_of(counted, P)
        for depth, share in DEPTHS.items():
            copy = counted if share == 1 else counted.thinned(share, rng)
            Y = target.scaled(copy.counts, copy.total)
            lower, upper = self.residuals.interval(P)
            rows[f"{depth}_residuals_only"] = coverage(Y, lower, upper)
            for name, made in (("", self.made), ("_counting_only", self.alone), ("_told_the_mean", told)):
                layers = made.layers(P, total=copy.total)
                rows[f"{depth}{name}"] = coverage(Y, layers["lower"], layers["upper"])
                rows[f"{depth}{name}_width"] = float(np.mean(layers["upper"] - layers["lower"]))
            rows[f"{depth}_residuals_only_width"] = float(np.mean(upper - lower))
        return rows

    def cards(self, sections) -> dict[str, float]:
        """Score the cards on sections that were not trained on."""
        target = self.training.target
        scores = []
        for one in sections:
            Y, P = target.transform(one.require_measured()), self.head.predict(inputs_of([one], depth=False))
            scores.append(partial_pearson(Y, P, one.depth()))
        beyond = np.nanmean(scores, axis=0)
        cards = cards_of(self.training, self.unseen)
        known = np.isfinite(beyond)
        reached = beyond[known] >= REACHED
        use = np.array([card.verdict == "use" for card in cards])
        ceiling = np.mean(list(self.training.ceilings.values()), axis=0)
        return {
            "n_use": float(use.sum()),
            "use_reached": float((beyond[use] >= REACHED).mean()) if use.any() else float("nan"),
            "all_reached": float(reached.mean()),
            "card_auroc": card_auroc(cards, beyond, measure="skill_depth", threshold=REACHED),
            "abundance_auroc": roc_auc_score(reached, self.training.Y.mean(axis=0)[known]),
            "ceiling_auroc": roc_auc_score(reached, np.nan_to_num(ceiling)[known]),
        }


def measure(label: str, train, test, head: str, prior) -> None:
    """Print every number of one way to divide sections."""
    trained, rng = Trained(train, head, prior), np.random.default_rng(0)
    rows = [trained.covered(one, rng) for one in test]
    for key in rows[0]:
        unit = "ln(1 + CP10K)" if key.endswith("width") else "share"
        print(f"{label}_{key} {np.mean([row[key] for row in rows]):.3f} {unit}")
    for key, value in trained.cards(test).items():
        print(f"{label}_{key} {value:.3f} {'genes' if key == 'n_use' else 'share'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", default="ridge")
    parser.add_argument("--cross", action="store_true", help="across patients only")
    chosen = parser.parse_args()
    wanted = PATIENT_C + PATIENT_A + (() if chosen.cross else BULB)
    sections = {name: observed(name, ("resnet",), Context()) for name in wanted}
    patients = Patients()
    with threadpool_limits(limits=1):
        for train, test in ((PATIENT_C, PATIENT_A), (PATIENT_A, PATIENT_C)):
            prior = patients.table(without=test[0][0])
            label = f"{train[0][0]}_to_{test[0][0]}"
            measure(label, [sections[k] for k in train], [sections[k] for k in test], chosen.head, prior)
        for label, names in () if chosen.cross else (("bulb", BULB), ("C_LEAKY", PATIENT_C)):
            for held in names:
                train = [sections[k] for k in names if k != held]
                measure(f"{label}_{held}", train, [sections[held]], chosen.head, None)


if __name__ == "__main__":
    main()
