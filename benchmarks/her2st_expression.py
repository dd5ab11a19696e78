"""Claim: expression and cell types from H&E on real sections, beside baselines, ceilings and the effect of depth.

Every fold fits targets, components, strengths and stack on its training sections alone. Patient C and the olfactory
bulb are LEAKY: the other sections of the same patient, or of the same tissue, train. Run with --cross alone for the
scores to expect on a new patient.
"""

import argparse

import numpy as np
from threadpoolctl import threadpool_limits

from histoscribe.expression.ceiling import noise_ceiling
from histoscribe.expression.targets import make_target
from histoscribe.predict import HEADS
from histoscribe.predict.context import Context
from histoscribe.predict.data import grouping_of, inputs_of
from histoscribe.predict.metrics import average_sections, score_section
from support.expression import BULB, DATA, PATIENT_A, PATIENT_C, observed

ENCODERS = {"resnet": ("resnet",), "resnet+morphology": ("resnet", "morphology")}
HEAD_NAMES = ("depth", "knn", "ridge", "lowrank", "serial")


def targets():
    """Name of a protocol to how its target is made and scored."""
    panel = (DATA / "her2st" / "genes_785.txt").read_text().split()
    return {
        "genes785": ("genes", {"genes": panel, "scale": "log10_panel"}),
        "genes250": ("genes", {"n_genes": 250}),
        "celltypes": ("abundance", {}),
    }


def measure(label: str, folds, sections, kind: str, options: dict) -> None:
    """Score every head on folds of (training, test) names and print a line per number."""
    scores: dict[str, list] = {}
    ceilings = []
    for train_names, test_names in folds:
        train = [sections[name] for name in train_names]
        target = make_target(kind, **options).fit([one.require_measured() for one in train])
        X = inputs_of(train)
        Y = np.concatenate([target.transform(one.require_measured()) for one in train])
        _, groups = grouping_of(train).of(np.arange(len(Y)))
        for head_name in HEAD_NAMES:
            head = HEADS.get(head_name)().fit(X, Y, groups)
            for name in test_names:
                test = sections[name]
                scored = score_section(
                    target.transform(test.require_measured()),
                    head.predict(inputs_of([test], depth=False)),
                    train_mean=Y.mean(axis=0),
                    depth=test.depth(),
                    kind="genes" if kind == "genes" else "ranks",
                )
                scores.setdefault(head_name, []).append(scored)
        if kind == "genes":
            ceilings += [noise_ceiling(target, sections[name].require_measured()) for name in test_names]
    for head_name, found in scores.items():
        mean = average_sections(found)
        if kind != "genes":
            print(f"{label}_{head_name}_spot_spearman {mean['mean_spot_spearman']:.3f} rho")
            continue
        print(f"{label}_{head_name}_pearson {mean['mean_pearson']:.3f} r")
        print(f"{label}_{head_name}_pearson_given_depth {mean['mean_pearson_given_depth']:.3f} r")
        print(f"{label}_{head_name}_error_ratio {mean['mean_error_ratio']:.3f} ratio")
    if kind == "genes":
        print(f"{label}_ceiling {np.mean([np.nanmean(c) for c in ceilings]):.3f} r")
    else:
        print(f"{label}_constant {average_sections(scores['ridge'])['constant_spot_spearman']:.3f} rho")


def leave_one_out(names):
    """Each section tested once, the others in training."""
    return [([other for other in names if other != name], [name]) for name in names]


def main() -> None:
    """Print every protocol, the within-patient scores last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", choices=ENCODERS, nargs="+", default=list(ENCODERS))
    parser.add_argument("--cross", action="store_true", help="across patients only")
    chosen = parser.parse_args()
    wanted = PATIENT_C + PATIENT_A + (() if chosen.cross else BULB)
    protocols = targets()
    for label in chosen.encoders:
        sections = {name: observed(name, ENCODERS[label], Context()) for name in wanted}
        across = [(list(PATIENT_C), list(PATIENT_A)), (list(PATIENT_A), list(PATIENT_C))]
        with threadpool_limits(limits=1):
            if not chosen.cross:
                measure(f"{label}_bulb_genes250", leave_one_out(BULB), sections, *protocols["genes250"])
            for name, (kind, options) in protocols.items():
                measure(f"{label}_across_{name}", across, sections, kind, options)
            for name, (kind, options) in () if chosen.cross else protocols.items():
                measure(f"{label}_patientC_LEAKY_{name}", leave_one_out(PATIENT_C), sections, kind, options)


if __name__ == "__main__":
    main()
