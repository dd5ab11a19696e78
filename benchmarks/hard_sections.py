"""Claim: what real tissue does to a section changes little elsewhere: dead spots, wild counts, black areas, sizes.

Every disturbed value stands beside the undisturbed one. Domains are scored on spots that were not touched; nuclei are
counted well inside a black frame, or outside a blot, on a phantom and on two real tiles.

    python benchmarks/hard_sections.py
    python benchmarks/hard_sections.py --parts dead black
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from PIL import Image
from scipy import sparse
from scipy.spatial import cKDTree

import histoscribe as hs
from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.domains.niche import niche
from histoscribe.errors import HistoscribeError
from histoscribe.expression.dead_spots import dead_spots
from histoscribe.graph.knn import knn_graph
from histoscribe.graph.lattice import lattice_graph
from histoscribe.nuclei.classical import ClassicalSegmenter
from histoscribe.phantom import make_phantom
from niche_scale import peak_gb, simulated
from support import influence
from support.domains import data_file
from support.expression import BULB, PATIENT_C

N_DOMAINS = 4
EDGE_PX = 4  # nuclei that a border cuts are not counted
# spots by their pitch in microns, whole squares: spots of Visium, and bins of 8 um
SIZES = {100.0: (961, 3_969, 10_000, 14_884, 15_129, 30_276), 8.0: (14_884, 15_129, 49_729, 50_625)}


def dead() -> None:
    """Spots without counts, or with hardly any: domains of the others, and how many dead spots are found."""
    spots = make_phantom(11, size_um=2400.0, mpp=2.0, n_domains=N_DOMAINS, n_genes=200).spots()
    del spots.uns["phantom"]
    truth = spots.obs["domain"].to_numpy(str)
    print(f"hard_dead_none {_domains(spots, truth, np.array([], int)):.3f} ARI ({spots.n_obs} spots)")
    for share in (0.01, 0.03, 0.05, 0.1):
        for kept in (0.0, 0.005, 0.02):
            rows = np.random.default_rng(0).choice(spots.n_obs, round(share * spots.n_obs), replace=False)
            factor = np.ones(spots.n_obs)
            factor[rows] = kept
            harmed = spots.copy()
            harmed.X = sparse.csr_matrix(np.floor((sparse.diags(factor) @ spots.X).toarray()).astype(np.float32))
            found = dead_spots(np.asarray(harmed.X.sum(axis=1)).ravel(), harmed.obsm["spatial"])
            ari = _domains(harmed, truth, rows)
            print(
                f"hard_dead_{share:g}_kept_{kept:g} {ari:.3f} ARI, found {found[rows].mean():.2f}, "
                f"false {int(np.delete(found, rows).sum())}",
                flush=True,
            )


def dead_real() -> None:
    """Dead spots in the 32 real breast sections, and shares of the surroundings' totals on both sides of the rule."""
    n_spots = n_dead = 0
    dead_share, alive_share, largest = [], [], []
    for path in sorted(data_file("her2st/counts").glob("*.tsv.gz")):
        counts = pd.read_csv(path, sep="\t", index_col=0)
        xy_um = 200.0 * np.array([[float(side) for side in name.split("x")] for name in counts.index])
        total = counts.to_numpy(np.float64).sum(axis=1)
        found = dead_spots(total, xy_um)
        nearest = cKDTree(xy_um[~found]).query(xy_um, k=13)[1]
        nearest = np.where(found[:, None], nearest[:, :12], nearest[:, 1:])  # a living spot's first is itself
        share = total / np.median(total[~found][nearest], axis=1)
        n_spots, n_dead = n_spots + len(total), n_dead + int(found.sum())
        dead_share += list(share[found])
        alive_share += list(share[~found])
        largest.append((counts.to_numpy().max(axis=1) / np.maximum(total, 1))[total > 100].max())
    print(f"hard_dead_real {n_dead} of {n_spots} spots, {int((np.array(dead_share) < 0.01).sum())} under .01")
    print(f"hard_dead_real_others {int((np.array(alive_share) < 0.07).sum())} of {n_spots - n_dead} under .07")
    print(f"hard_largest_gene {max(largest):.2f} of a spot with 100 molecules")


def wild() -> None:
    """Wild counts, copied profiles, a noisy gene, a saturated stripe: domains of the spots that were not touched."""
    phantom = make_phantom(11, size_um=2400.0, mpp=2.0, n_domains=N_DOMAINS, n_genes=200)
    spots = phantom.spots()
    del spots.uns["phantom"]
    truth = spots.obs["domain"].to_numpy(str)
    counts = spots.X.toarray()
    rng = np.random.default_rng(0)

    def said(name: str, harmed: np.ndarray, rows: np.ndarray) -> None:
        changed = spots.copy()
        changed.X = sparse.csr_matrix(harmed.astype(np.float32))
        print(f"hard_{name} {_domains(changed, truth, rows):.3f} ARI", flush=True)

    said("wild_none", counts, np.array([], int))
    for n in (1, 5, 20):
        rows = rng.choice(len(counts), n, replace=False)
        for value in (1e4, 1e6):
            harmed = counts.copy()
            harmed[rows, 7] = value
            said(f"wild_{n}_of_{value:.0e}", harmed, rows)
        harmed = counts.copy()
        harmed[rows] = counts[rows[0]]
        said(f"copied_{n}", harmed, rows)
        said(f"ten_times_{n}", np.where(np.isin(np.arange(len(counts)), rows)[:, None], 10 * counts, counts), rows)
    for spread in (1, 3):
        harmed = counts.copy()
        harmed[:, 7] = np.round(np.exp(rng.normal(4, spread, len(counts))))
        said(f"noisy_gene_{spread}", harmed, np.array([], int))
    height, width = phantom.image.shapes[0]
    picture = phantom.image.read(0, 0, width, height)
    for name, value in (("none", None), ("white", 255), ("black", 0)):
        striped = picture.copy()
        if value is not None:
            striped[:, width // 2 : width // 2 + 60] = value
        print(f"hard_stripe_{name} {_domains(spots, truth, np.array([], int), picture=striped):.3f} ARI", flush=True)


def _domains(spots, truth: np.ndarray, rows: np.ndarray, picture: np.ndarray | None = None) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spots.write_h5ad(folder / "spots.h5ad")
        given = folder / "spots.h5ad"
        if picture is not None:
            Image.fromarray(picture).save(folder / "he.png")
            given = folder / "sheet.csv"
            given.write_text("section,path,image,mpp\none,spots.h5ad,he.png,2.0\n")
        hs.find_domains(given, out=folder / "out", n_domains=N_DOMAINS)
        labels = pd.read_csv(next((folder / "out").rglob("domains.csv")))["domain"].to_numpy()
    others = np.delete(np.arange(len(truth)), rows)
    return adjusted_rand_index(labels[others], truth[others])


def black() -> None:
    """Black frames and blots: nuclei inside and outside of them, beside those of the picture as it was."""
    phantom = make_phantom(7, size_um=500.0, mpp=0.5).image.read(100, 100, 800, 800)
    pictures = {"phantom": phantom}
    for path in sorted(data_file("nuclei/monuseg").glob("*.tif")):  # 0.25 um to a pixel, seen at 0.5
        pictures[path.stem[:12]] = np.ascontiguousarray(np.asarray(Image.open(path).convert("RGB"))[::2, ::2])
    segmenter = ClassicalSegmenter()
    for name, picture in pictures.items():
        whole = segmenter.segment(picture).labels
        for width in (20, 60):
            framed = np.zeros_like(picture)
            framed[width:-width, width:-width] = picture[width:-width, width:-width]
            inside = (slice(width + EDGE_PX, -width - EDGE_PX),) * 2
            before, after = (len(np.unique(labels[inside])) for labels in (whole, segmenter.segment(framed).labels))
            print(f"hard_frame_{width}_{name} {after - 1} nuclei of {before - 1}")
        blotted = picture.copy()
        blotted[200:260, 200:260] = 12
        away = np.ones(picture.shape[:2], bool)
        away[190:270, 190:270] = False
        before, after = (len(np.unique(labels[away])) for labels in (whole, segmenter.segment(blotted).labels))
        print(f"hard_blot_{name} {after - 1} nuclei of {before - 1}", flush=True)


def few() -> None:
    """Three to thirty spots, every way to divide them: results and refusals; anything else ends this program."""
    spots = make_phantom(3, size_um=1500.0, mpp=2.0, n_domains=3, n_genes=80).spots()
    xy_um = spots.obsm["spatial"] * 2.0
    nearest = np.linalg.norm(xy_um - xy_um.mean(axis=0), axis=1).argsort(kind="stable")
    done = refused = 0
    for n in range(1, 31):
        rows = np.sort(nearest[:n])
        for clustering in ("mixture", "leiden", "louvain"):
            for k in (None, 2):
                try:
                    graph = knn_graph(xy_um[rows], k=6)
                    places = {"graph": graph, "xy_um": xy_um[rows], "n_domains": k, "seed": 0}
                    niche({"counts": spots.X[rows]}, **places, clustering=clustering)
                    done += 1
                except HistoscribeError:
                    refused += 1
    print(f"hard_few {done} divided, {refused} refused, of 1 to 30 spots")


def many() -> None:
    """Sizes on both sides of where pooling could begin: spots of Visium's pitch, and bins; each in its own process."""
    for pitch_um, sizes in SIZES.items():
        for n in sizes:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:  # the peak is a process's own
                ari, seconds, peak = process.submit(_divided, n, pitch_um).result()
            print(f"hard_size_{n}_{pitch_um:g}um {ari:.3f} ARI, {seconds:.0f} s, {peak:.2f} GB", flush=True)


def _divided(n: int, pitch_um: float) -> tuple[float, float, float]:
    """ARI, seconds and peak memory in GB of `niche` on n simulated spots with 300 genes, in six layers."""
    counts, xy_um, truth = simulated(n, 300)
    xy_um = xy_um / 8.0 * pitch_um
    graph = lattice_graph(xy_um, kind="square", pitch_um=pitch_um)
    start = perf_counter()
    found = niche({"counts": counts}, graph=graph, xy_um=xy_um, n_domains=6, seed=0)
    return adjusted_rand_index(found.labels, truth), perf_counter() - start, peak_gb()


def wrong_map() -> None:
    """Wrong spots, and the map of the others: beside the undisturbed map, and on held-out spots."""
    for name, section in influence.map_sections():
        problem = influence.problem_of(section)
        kept = influence.measured(problem.counts.toarray(), problem.xy_um)
        found = influence.MapInfluence(problem.take(np.flatnonzero(kept)))
        for harm in influence.harms(found.counts):
            print(f"hard_map_{name}_{harm.name} {found.of(harm)}", flush=True)


def wrong_markers() -> None:
    """Wrong spots, and the markers of known domains."""
    for name, tissue in influence.tissues():
        before = None
        for harm in influence.harms(tissue.counts):
            before, said = influence.markers_of(harm, before, tissue)
            print(f"hard_markers_{name}_{harm.name} {said}", flush=True)


def wrong_training() -> None:
    """Wrong spots in the training of heads, scored on another patient: Pearson, and error beside the mean's."""
    *train, test = influence.phantom_cohort().values()
    harmed = [influence.harms(one.measured.counts.toarray(), seed=k) for k, one in enumerate(train)]
    genes = [name for column, name in enumerate(test.measured.genes) if column != influence.GENE]
    for harms in zip(*harmed, strict=True):
        wrong = [influence.harmed(one, harm) for one, harm in zip(train, harms, strict=True)]
        print(f"hard_training_{harms[0].name} {influence.evaluated(wrong, test, genes)}", flush=True)


def weights() -> None:
    """Heads with and without weights by depth, where nothing was disturbed."""
    for names in (PATIENT_C, BULB):
        for said in influence.weighed(names):
            print(f"hard_weights_{names[0]}_to_{names[-1]} {said}", flush=True)


def fading() -> None:
    """Take a twentieth of the spots from all of their molecules to none: the others' map makes no jump."""
    name, section = next(influence.map_sections())
    found = influence.MapInfluence(influence.problem_of(section))
    rows = np.random.default_rng(0).choice(len(found.counts), round(0.05 * len(found.counts)), replace=False)
    for share in (1.0, 0.5, 0.25, 0.12, 0.08, 0.06, 0.05, 0.04, 0.02, 0.0):
        counts = found.counts.copy()
        counts[rows] = np.random.default_rng(1).binomial(counts[rows].astype(np.int64), share)
        print(f"hard_fading_{name}_{share:g} {found.of(influence.Harm(f'{share}', counts, rows))}", flush=True)


PARTS: dict[str, Callable[[], None]] = {
    "dead": dead,
    "dead_real": dead_real,
    "wild": wild,
    "black": black,
    "few": few,
    "many": many,
    "wrong_map": wrong_map,
    "wrong_markers": wrong_markers,
    "wrong_training": wrong_training,
    "weights": weights,
    "fading": fading,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in parser.parse_args().parts:
        PARTS[name]()


if __name__ == "__main__":
    main()
