"""Small synthetic folders in the layouts of the vendors, written fresh for each test."""

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse
from scipy.io import mmwrite

PITCH_PX = 20.0  # 100 um: 5 um per full-resolution pixel
SIZE_PX = (280, 240)  # width, height of the full-resolution image
SCALES = {"hires": 0.5, "lowres": 0.25}
GENES = ["Actb", "Gapdh", "Mbp", "Snap25", "Gfap", "<b>Cst3</b>"]


def picture(path: Path, factor: float = 1.0, size: tuple[int, int] = SIZE_PX) -> Path:
    """A noisy picture: a blank one is refused as a decompression bomb would be."""
    width, height = round(size[0] * factor), round(size[1] * factor)
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def positions() -> pd.DataFrame:
    """100 spots of a hexagonal lattice; the 10 of array row 0 lie off tissue."""
    rows = []
    for row in range(10):
        for column in range(row % 2, 20, 2):
            x, y = 40 + column * PITCH_PX / 2, 40 + row * PITCH_PX * np.sqrt(3) / 2
            rows.append((f"AC{row:02d}{column:02d}-1", int(row > 0), row, column, y, x))
    names = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
    return pd.DataFrame(rows, columns=names)


def counts_of(barcodes: list[str], genes: int = len(GENES)) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.random.default_rng(1).poisson(2.0, (len(barcodes), genes)).astype(np.int32))


def write_10x_h5(path: Path, barcodes: list[str], matrix: sparse.csr_matrix, *, names=None, kinds=None) -> Path:
    """A feature-barcode matrix in the layout of Cell Ranger 3."""
    names = names or GENES
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["data"] = matrix.data
        group["indices"] = matrix.indices.astype(np.int64)
        group["indptr"] = matrix.indptr.astype(np.int64)
        group["shape"] = np.array(matrix.shape[::-1], np.int32)
        group["barcodes"] = np.array(barcodes, "S")
        features = group.create_group("features")
        features["id"] = np.array([f"ENS{k:04d}" for k in range(len(names))], "S")
        features["name"] = np.array(names, "S")
        features["feature_type"] = np.array(kinds or ["Gene Expression"] * len(names), "S")
    return path


def write_mtx(folder: Path, barcodes: list[str], matrix: sparse.csr_matrix, *, zipped: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    mmwrite(folder / "matrix.mtx", matrix.T.tocoo())
    (folder / "barcodes.tsv").write_text("\n".join(barcodes) + "\n")
    lines = [f"ENS{k:04d}\t{name}\tGene Expression" for k, name in enumerate(GENES)]
    (folder / "features.tsv").write_text("\n".join(lines) + "\n")
    if zipped:
        for name in ("matrix.mtx", "barcodes.tsv", "features.tsv"):
            (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
            (folder / name).unlink()
    return folder


@dataclass
class VisiumFolder:
    """A Space Ranger run; `path` is what a user gives."""

    path: Path
    outs: Path
    barcodes: list[str] = field(default_factory=list)

    @property
    def spatial(self) -> Path:
        return self.outs / "spatial"

    @property
    def matrix(self) -> Path:
        return self.outs / "filtered_feature_bc_matrix.h5"

    @property
    def positions(self) -> Path:
        return self.spatial / "tissue_positions.csv"

    @property
    def factors(self) -> Path:
        return self.spatial / "scalefactors_json.json"


def write_visium(root: Path) -> VisiumFolder:
    run = VisiumFolder(root, root / "outs")
    run.spatial.mkdir(parents=True)
    table = positions()
    table.to_csv(run.positions, index=False)
    factors = {f"tissue_{name}_scalef": factor for name, factor in SCALES.items()}
    factors |= {"spot_diameter_fullres": 0.65 * PITCH_PX, "fiducial_diameter_fullres": 1.05 * PITCH_PX}
    run.factors.write_text(json.dumps(factors))
    for name, factor in SCALES.items():
        picture(run.spatial / f"tissue_{name}_image.png", factor)
    run.barcodes = table.loc[table["in_tissue"] == 1, "barcode"].tolist()
    write_10x_h5(run.matrix, run.barcodes, counts_of(run.barcodes))
    return run


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The writers above, for tests that build their own files."""
    return SimpleNamespace(
        picture=picture,
        positions=positions,
        counts_of=counts_of,
        write_10x_h5=write_10x_h5,
        write_mtx=write_mtx,
        write_visium=write_visium,
    )


@pytest.fixture
def visium(tmp_path: Path) -> VisiumFolder:
    """A whole Space Ranger 2 run: 100 spots, 90 on tissue with counts of 6 genes, hires and lowres pictures."""
    return write_visium(tmp_path / "run")


@pytest.fixture
def visium_hd(tmp_path: Path) -> Path:
    """A Visium HD run with bins of 8 and 16 um, 0.5 um per full-resolution pixel, and a hires picture of scale 0.5."""
    root = tmp_path / "hd_run"
    for bin_um in (8, 16):
        base = root / "outs" / "binned_outputs" / f"square_{bin_um:03d}um"
        (base / "spatial").mkdir(parents=True)
        side_px, n = bin_um / 0.5, 160 // bin_um
        row, column = (axis.ravel() for axis in np.mgrid[:n, :n])
        barcodes = [f"s_{bin_um:03d}um_{r:05d}_{c:05d}-1" for r, c in zip(row, column, strict=True)]
        table = pd.DataFrame(
            {
                "barcode": barcodes,
                "in_tissue": (row > 0).astype(np.int32),
                "array_row": row.astype(np.int32),
                "array_col": column.astype(np.int32),
                # the capture area is mirrored in the image, as on real slides
                "pxl_row_in_fullres": 10 + (row + 0.5) * side_px,
                "pxl_col_in_fullres": 350 - (column + 0.5) * side_px,
            }
        )
        table.to_parquet(base / "spatial" / "tissue_positions.parquet", index=False)
        factors = {
            "bin_size_um": float(bin_um),
            "microns_per_pixel": 0.5,
            "spot_diameter_fullres": side_px,
            "tissue_hires_scalef": 0.5,
        }
        (base / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
        picture(base / "spatial" / "tissue_hires_image.png", 0.5, (360, 360))
        kept = table.loc[table["in_tissue"] == 1, "barcode"].tolist()
        write_10x_h5(base / "filtered_feature_bc_matrix.h5", kept, counts_of(kept))
    return root


@dataclass
class LooseFiles:
    """Files of a legacy ST section that has 30 spots, 28 of them selected."""

    spots: Path
    counts: Path
    image: Path


@pytest.fixture
def st(tmp_path: Path) -> LooseFiles:
    """A legacy ST section in her2st's layout: 5 by 6 spots, 40 px (200 um) apart, so 5 um per pixel."""
    root = tmp_path / "st_study"
    for name in ("spots", "counts", "images"):
        (root / name).mkdir(parents=True)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(4, 9), np.arange(10, 16)))
    table = pd.DataFrame({"x": x, "y": y, "new_x": x + 0.01, "new_y": y - 0.01})
    table["pixel_x"], table["pixel_y"] = 20.5 + (x - 4) * 40, 30.25 + (y - 10) * 40
    table["selected"] = 1
    table.loc[[0, 7], "selected"] = 0
    files = LooseFiles(
        root / "spots" / "S1_selection.tsv", root / "counts" / "S1.tsv.gz", root / "images" / "S1_he.png"
    )
    table.to_csv(files.spots, sep="\t", index=False)
    names = [f"{a}x{b}" for a, b in zip(x, y, strict=True)]
    counts = pd.DataFrame(counts_of(names).toarray(), index=names, columns=GENES)
    counts.iloc[::-1].to_csv(files.counts, sep="\t")
    picture(files.image, 1.0, (220, 280))
    return files


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    """The hackathon's layout with two training slides and one test slide; 25 px (100 um) pitch, so 4 um per pixel."""
    path = tmp_path / "challenge.h5"
    rng = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        for group, name in (("Train", "S_1"), ("Train", "S_2"), ("Test", "S_7")):
            file[f"images/{group}/{name}"] = rng.random((260, 300, 3)).astype(np.float32)
            row, column = (axis.ravel() for axis in np.mgrid[:9, :10])
            x = np.rint(20 + (column + (row % 2) / 2) * 25).astype(np.int64)
            y = np.rint(20 + row * 25 * np.sqrt(3) / 2).astype(np.int64)
            order = rng.permutation(len(x))
            targets = [(f"C{k}", "f8") for k in range(1, 36)] if group == "Train" else [("Test_Set", "i8")]
            table = np.zeros(len(x), dtype=[("x", "i8"), ("y", "i8"), *targets])
            table["x"], table["y"] = x[order], y[order]
            for field_name, _ in targets:
                table[field_name] = rng.gamma(0.3, size=len(x)) if group == "Train" else rng.integers(1, 3, len(x))
            file[f"spots/{group}/{name}"] = table
    return path


@dataclass
class Table:
    """Loose files of no particular assay."""

    spots: Path
    counts: Path
    image: Path


@pytest.fixture
def loose(tmp_path: Path) -> Table:
    """A picture, 12 spots with barcode, x and y, and their counts as csv."""
    rng = np.random.default_rng(3)
    names = [f"spot{k}" for k in range(12)]
    spots = pd.DataFrame({"barcode": names, "x": rng.uniform(5, 200, 12), "y": rng.uniform(5, 150, 12)})
    counts = pd.DataFrame(counts_of(names).toarray(), index=names, columns=GENES)
    files = Table(tmp_path / "spots.csv", tmp_path / "counts.csv", tmp_path / "he.png")
    spots.to_csv(files.spots, index=False)
    counts.to_csv(files.counts)
    picture(files.image, 1.0, (220, 160))
    return files
