"""Claim: two patients' mean shares of a gene differ by a factor that its mean and its spread within a section foretell.

Makes the table of `histoscribe.predict.patient_shift` from the counts of all her2st sections: eight patients, three to
six serial sections each, pictures or not. `--write` replaces the table of the package. The programmes say which genes
are behind it: the main directions in which genes vary together within sections, and how far patients differ along them.
"""

import argparse
import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from histoscribe.expression.counted import Counted
from histoscribe.predict import patient_shift
from histoscribe.predict.patient_shift import PatientShift, mean_and_spread
from support.expression import DATA

PER_10K = (0.5, 1.5, 5.0, 15.0, np.inf)  # edges
SPREAD = (0.0, 0.3, 0.5, 0.8, np.inf)
LEVEL, REACH = 0.9, 1.645
PROGRAMMES, IN_PROGRAMME, SHOWN, LEAST_PER_10K = 6, 20, 6, 1.0
MOST_SPOTS, OVERDISPERSION = 4000, 0.2


class Patients:
    """Counts of every patient's sections, of the genes that all of them have."""

    def __init__(self) -> None:
        tables: dict[str, pd.DataFrame] = {}
        for path in sorted((DATA / "her2st" / "counts").glob("*.tsv.gz")):
            table = pd.read_csv(path, sep="\t", index_col=0)
            tables[path.name.split(".")[0]] = table[table.sum(axis=1) > 0]
        self.genes = sorted(set.intersection(*(set(table.columns) for table in tables.values())))
        self.sections: dict[str, list[Counted]] = {}
        for name, table in tables.items():
            counts = sparse.csr_matrix(table[self.genes].to_numpy(np.float64))
            self.sections.setdefault(name[0], []).append(Counted(counts, table.sum(axis=1).to_numpy(np.float64)))

    def table(self, without: str = "") -> PatientShift:
        """Measure the prior on all patients but some."""
        known = [mean_and_spread(sections) for name, sections in self.sections.items() if name not in without]
        per_10k, spread = (np.stack([one[k] for one in known]) for k in range(2))  # (patients, g)
        logs = np.log(np.maximum(per_10k, 1e-3))
        sd = np.empty((len(PER_10K) - 1, len(SPREAD) - 1))
        for a in range(len(sd)):
            for b in range(len(sd[0])):
                here = (per_10k >= PER_10K[a]) & (per_10k < PER_10K[a + 1])
                here &= (spread >= SPREAD[b]) & (spread < SPREAD[b + 1])
                apart = [
                    np.abs(logs[new, here[trained]] - logs[trained, here[trained]])
                    for trained in range(len(known))
                    for new in range(len(known))
                    if new != trained
                ]
                sd[a, b] = np.quantile(np.concatenate(apart), LEVEL) / REACH
        return PatientShift(np.array(centres(PER_10K)), np.array(centres(SPREAD)), sd, f"without {without or 'none'}")

    def programmes(self) -> list[tuple[str, float, float]]:
        """Genes of the main programmes, the spread of their joint share within sections, and between two patients."""
        mean, _ = mean_and_spread([one for sections in self.sections.values() for one in sections])
        chosen = np.flatnonzero(mean >= LEAST_PER_10K)
        residuals = [
            self._residuals(one.counts[:, chosen].toarray(), one.total)
            for sections in self.sections.values()
            for one in sections
        ]
        stacked = np.concatenate(residuals)
        _, _, axes = np.linalg.svd(stacked[:: max(1, len(stacked) // MOST_SPOTS)], full_matrices=False)
        found = []
        for axis in axes[:PROGRAMMES]:
            top = chosen[np.argsort(-axis * np.sign(axis[np.abs(axis).argmax()]))[:IN_PROGRAMME]]
            joint = {
                name: [Counted(sparse.csr_matrix(one.counts[:, top].sum(axis=1)), one.total) for one in sections]
                for name, sections in self.sections.items()
            }
            known = [mean_and_spread(sections) for sections in joint.values()]
            logs, within = (np.array([f(one) for one in known]) for f in (lambda k: np.log(k[0][0]), lambda k: k[1][0]))
            names = " ".join(self.genes[k] for k in top[:SHOWN])
            found.append((names, float(within.mean()), float(np.sqrt(2) * logs.std(ddof=1))))
        return found

    @staticmethod
    def _residuals(counts: np.ndarray, total: np.ndarray) -> np.ndarray:
        expected = np.outer(total, counts.sum(axis=0) / total.sum()) + 1e-9
        return (counts - expected) / np.sqrt(expected + OVERDISPERSION * expected**2)


def centres(edges: tuple[float, ...]) -> list[float]:
    """Where the table's values stand: between the edges, and half as far again beyond the last one that is finite."""
    inner = [(low + high) / 2 for low, high in pairwise(edges[:-1])]
    return [*inner, 1.5 * edges[-2]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the table of the package")
    chosen = parser.parse_args()
    patients = Patients()
    table = patients.table()
    for per_10k, row in zip(table.per_10k, table.sd, strict=True):
        for spread, sd in zip(table.spread, row, strict=True):
            print(f"patient_shift_per10k_{per_10k:g}_spread_{spread:g} {sd:.2f} ln(ratio)")
    for k, (genes, within, between) in enumerate(patients.programmes(), 1):
        print(f"programme_{k}_within {within:.2f} between {between:.2f} ln(ratio) ({genes})")
    without = [np.abs(patients.table(name).sd / table.sd - 1).max() for name in patients.sections]
    print(f"patient_shift_changes_most_without_a_patient {max(without):.2f} share")
    if chosen.write:
        path = Path(patient_shift.__file__).with_name(patient_shift.TABLE)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["per_10k", "spread", "sd"])
            for per_10k, row in zip(table.per_10k, table.sd, strict=True):
                writer.writerows(
                    [f"{per_10k:g}", f"{s:g}", f"{sd:.2f}"] for s, sd in zip(table.spread, row, strict=True)
                )


if __name__ == "__main__":
    main()
