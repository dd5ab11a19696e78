"""What nuclei change in the domains of histology: ST-AIseg's whole path on five real sections, with and without them.

Five HER2+ breast sections of one patient (C2 to C6) with a ResNet trunk, from image files to domains, nuclei found by
`classical`. For each section: the number of domains chosen and its stability without and with nuclei, the agreement of
the two divisions at the same number, and the agreement of each with the authors' clusters of expression, which neither
used, beside that of coordinates alone.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

import histoscribe as hs
from histoscribe.run.section.settings import RunConfig
from histoscribe.store.files import read_json
from support.domains import data_file
from support.sections import HERE

SECTIONS = ("C2", "C3", "C4", "C5", "C6")


def write_sheet(folder: Path) -> Path:
    """Sample sheet of the sections."""
    rows = ["section,patient,format,counts,spots,image"]
    for name in SECTIONS:
        files = (f"her2st/counts/{name}.tsv.gz", f"her2st/spots/{name}_selection.tsv", f"her2st/images/{name}.jpg")
        rows.append(",".join([name, "C", "st", *(str(data_file(file)) for file in files)]))
    sheet = folder / "sheet.csv"
    sheet.write_text("\n".join(rows) + "\n")
    return sheet


def clusters(name: str) -> pd.Series:
    """Read the authors' clusters of expression, by barcode."""
    table = pd.read_csv(data_file(f"her2st/clusters/{name}-cluster-annotation.tsv.gz"), sep="\t").dropna()
    table.index = [f"{x:.0f}x{y:.0f}" for x, y in zip(table["x"], table["y"], strict=True)]
    return table["label"].astype(int)


def run(sheet: Path, out: Path, **settings: object) -> dict[str, pd.Series]:
    """Find the domains of every section, by barcode."""
    config = RunConfig(encoder=str(HERE / "cards" / "resnet50v2_s3.toml"), method="histology", **settings)
    hs.run_sections(sheet, out=out, config=config)
    return {name: pd.read_csv(out / name / "domains.csv", index_col="barcode")["domain"] for name in SECTIONS}


def main() -> None:
    alike, gain = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sheet = write_sheet(folder)
        for nuclei in ("none", "classical"):
            chosen = run(sheet, folder / nuclei, nuclei=nuclei)
            for name, domains in chosen.items():
                choice = read_json(folder / nuclei / name / "domains.json")["choice"]
                best = max(choice["stability"][1:])
                print(
                    f"{name}_{nuclei}_chosen {domains.nunique()} domains (highest stability from three up {best:.2f})"
                )
        # into the same folders: embedding and nuclei are reused
        given = {one: run(sheet, folder / one, nuclei=one, n_domains=4) for one in ("none", "classical")}
        for name in SECTIONS:
            without, with_nuclei = given["none"][name], given["classical"][name]
            alike.append(adjusted_rand_score(without, with_nuclei))
            known = clusters(name).reindex(without.index).dropna()
            scores = [adjusted_rand_score(known, one[known.index]) for one in (without, with_nuclei)]
            xy = np.array([[float(v) for v in barcode.split("x")] for barcode in known.index])
            floor = adjusted_rand_score(known, KMeans(4, n_init=10, random_state=0).fit_predict(xy))
            gain.append(scores[1] - scores[0])
            print(f"{name}_without_against_with {alike[-1]:.3f} ARI (four domains)")
            print(f"{name}_clusters_without {scores[0]:.3f} ARI (coordinates alone {floor:.3f})")
            print(f"{name}_clusters_with {scores[1]:.3f} ARI", flush=True)
    print(f"nuclei_gain_on_clusters {np.mean(gain):+.3f} ARI")
    print(f"nuclei_without_against_with {np.mean(alike):.3f} ARI")


if __name__ == "__main__":
    main()
