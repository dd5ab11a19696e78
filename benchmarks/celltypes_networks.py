"""Claim: cell-type ranks within a spot, on real sections: networks and stacks beside ridge and one constant ranking.

her2st C2-C6, leave one section out - LEAKY: the other sections of the same patient train. Every choice, early stopping
included, is made within the training sections. For the stack every pair of sections is left out as well: a model fitted
on neither gives held-out predictions of both. Predictions are kept, so that a second run only reads them.

Shortened for two cores: see `OPTIONS`; the published recipes train for 30 and 40 epochs, wider, on a graphics card.
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from histoscribe.expression.targets import make_target
from histoscribe.io import read_section
from histoscribe.predict import HEADS
from histoscribe.predict.context import Context
from histoscribe.predict.data import grouping_of, inputs_of
from histoscribe.predict.head import Inputs
from histoscribe.predict.metrics import average_sections, score_section
from histoscribe.predict.stack import STACKS, judge_stack, make_stack
from histoscribe.slide.tiles import read_tiles
from histoscribe.store import arrays
from histoscribe.store.files import fingerprint
from support.expression import KEPT, PATIENT_C, observed, request_of
from support.sections import HERE

# side of a tile in microns and in pixels: about the published 4 um per pixel for the three branches
TILES = {"multiscale_pixels": (300.0, 78), "finetune": (224.0, 112)}
OPTIONS = {
    "multiscale_pixels": {"width": 8, "epochs": 6},  # published: width 32, 30 epochs
    "finetune": {"tile_px": 64, "epochs": 5, "learning_rate": 5e-4},  # published: 224 pixels, 40 epochs
}
QUICK = ("ridge", "lowrank", "multiscale")
MEANS = {"quick": QUICK, "with_finetune": (*QUICK, "finetune"), "with_both": (*QUICK, "multiscale_pixels", "finetune")}


class Bench:
    """Sections and their targets, and predictions of held-out sections."""

    def __init__(self) -> None:
        self.sections = {name: observed(name, ("resnet", "morphology"), Context()) for name in PATIENT_C}
        self.tiles: dict[tuple[str, str], np.ndarray] = {}

    def options(self, head: str) -> dict:
        """Options of a head; the fine-tuned one starts from a card's weights."""
        card = {"backbone": str(HERE / "cards" / "mobilenetv2_100.toml")} if head == "finetune" else {}
        return OPTIONS.get(head, {}) | card

    def truth(self, left_out: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Ranks of every section, (n, 8) each, by a target fitted without those left out."""
        train = [self.sections[name].require_measured() for name in PATIENT_C if name not in left_out]
        target = make_target("abundance").fit(train)
        return {name: target.transform(one.require_measured()) for name, one in self.sections.items()}

    def inputs(self, names: list[str], head: str) -> Inputs:
        """Return the inputs of a head."""
        X = inputs_of([self.sections[name] for name in names])
        if head not in TILES:
            return X
        for name in names:
            if (name, head) not in self.tiles:
                section = read_section(request_of(name))
                side, px = TILES[head]
                self.tiles[name, head] = read_tiles(section.require_image(), section.xy_px, tile_um=side, out_px=px)
        return Inputs(X.blocks, np.concatenate([self.tiles[name, head] for name in names]), X.section, X.depth)

    def predicted(self, head: str, left_out: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Predictions of the sections left out, by a head fitted on all others."""
        key = fingerprint({"head": head, "options": OPTIONS.get(head, {}), "tiles": TILES.get(head)})[:8]
        paths = {name: KEPT / f"celltypes_{head}_{key}_without_{'_'.join(left_out)}_{name}.zarr" for name in left_out}
        if not all(path.exists() for path in paths.values()):
            train = [name for name in PATIENT_C if name not in left_out]
            Y = np.concatenate([self.truth(left_out)[name] for name in train])
            _, groups = grouping_of([self.sections[name] for name in train]).of(np.arange(len(Y)))
            start = time.perf_counter()
            fitted = HEADS.get(head)(**self.options(head)).fit(self.inputs(train, head), Y, groups)
            for name, path in paths.items():
                arrays.write(path, fitted.predict(self.inputs([name], head)), chunk_rows=1000)
            print(f"celltypes_{head}_without_{'_'.join(left_out)}_fit {time.perf_counter() - start:.0f} s", flush=True)
        return {name: np.asarray(arrays.open_array(path)[:]) for name, path in paths.items()}

    def scores(self, predictions: dict[str, np.ndarray]) -> dict:
        """Scores of predictions of every section, averaged."""
        found = []
        for name, P in predictions.items():
            truth = self.truth((name,))
            mean = np.concatenate([truth[other] for other in PATIENT_C if other != name]).mean(axis=0)
            found.append(score_section(truth[name], P, train_mean=mean, kind="ranks"))
        return average_sections(found) | {"by_section": [one["mean_spot_spearman"] for one in found]}


def stacked(bench: Bench, kind: str) -> tuple[dict[str, np.ndarray], int]:
    """Stack of the quick heads, by section, and in how many folds it was judged worth it."""
    learnt, worth = {}, 0
    for name in PATIENT_C:
        others = [other for other in PATIENT_C if other != name]
        held_out = np.stack(
            [
                np.concatenate([bench.predicted(head, tuple(sorted((name, other))))[other] for other in others])
                for head in QUICK
            ]
        )  # (m, n, 8)
        truth = bench.truth((name,))
        Y = np.concatenate([truth[other] for other in others])
        groups = np.repeat(others, [len(truth[other]) for other in others])
        test = np.stack([bench.predicted(head, (name,))[name] for head in QUICK])
        learnt[name] = make_stack(kind, seed=0).fit(held_out, Y, groups).predict(test)
        folds = [(np.flatnonzero(groups != other), np.flatnonzero(groups == other)) for other in others]
        twice = [twice_held_out(bench, head, name, others) for head in QUICK]
        worth += judge_stack(make_stack(kind, seed=0), twice, Y, folds=folds, groups=groups).worth_it
    return learnt, worth


def twice_held_out(bench: Bench, head: str, name: str, others: list[str]) -> np.ndarray:
    """Predictions of the others, (k, n, 8): in entry k by heads that saw neither the k-th of them nor the row's own."""
    return np.stack(
        [
            np.concatenate([bench.predicted(head, tuple(sorted({name, scored, other})))[other] for other in others])
            for scored in others
        ]
    )


def report(label: str, scores: dict) -> None:
    """Print the sections' scores and their mean."""
    for name, value in zip(PATIENT_C, scores["by_section"], strict=True):
        print(f"celltypes_{label}_{name} {value:.3f} rho")
    print(f"celltypes_{label} {scores['mean_spot_spearman']:.4f} rho", flush=True)


def main() -> None:
    """Print every head, then means and the stack of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = (*QUICK, *TILES)
    parser.add_argument("--heads", nargs="+", choices=known, default=known)
    chosen = parser.parse_args().heads
    bench = Bench()
    with threadpool_limits(limits=1):
        alone = {}
        for head in chosen:
            alone[head] = {name: bench.predicted(head, (name,))[name] for name in PATIENT_C}
            scores = bench.scores(alone[head])
            report(head, scores)
        print(f"celltypes_constant {scores['constant_spot_spearman']:.4f} rho")
        for label, members in MEANS.items():
            if set(members) <= set(chosen):
                mean = {name: np.mean([alone[head][name] for head in members], axis=0) for name in PATIENT_C}
                report(f"plain_mean_{label}", bench.scores(mean))
        if set(QUICK) <= set(chosen):
            for kind in STACKS:
                learnt, worth = stacked(bench, kind)
                print(f"celltypes_stack_{kind}_quick_said_worth_it_in {worth} folds")
                report(f"stack_{kind}_quick", bench.scores(learnt))


if __name__ == "__main__":
    main()
