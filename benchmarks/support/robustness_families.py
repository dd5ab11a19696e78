"""Reader families of sections: how a sound input of each is written from a phantom, and which function reads it."""

import gzip
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from support import robustness_mutate as text
from support import robustness_mutate_arrays as arrays

SIZE_UM, N_GENES, SEED = 500.0, 40, 5
_DAMAGE = re.compile(r"damag|cut short|incomplete|truncated", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """Files that are damaged, and the damages that fit their format.

    Parameters
    ----------
    pattern
        Glob below the input's folder.
    damages
        Name to a function of the content and a generator.
    edits
        Name to a function of the path and a generator.
    structure
        Group of a sparse matrix in an HDF5 file to damage the structure of; "" for none.
    """

    pattern: str
    damages: Mapping[str, text.Damage] = field(default_factory=dict)
    edits: Mapping[str, arrays.Edit] = field(default_factory=dict)
    structure: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of input.

    Parameters
    ----------
    write
        Writes a sound one into an empty folder.
    targets
        What is damaged of it.
    read
        Reads it by a public function and returns, JSON-able, its "content", which is equal for equal readings, and
        "noted", whether a note or warning reports damage.
    reseal
        Called on the folder after the damage: what an attacker would correct as well, such as checksums.
    share
        How many inputs it gets, beside the others.
    """

    name: str
    write: Callable[[Path], None]
    targets: tuple[Target, ...]
    read: Callable[[Path], dict[str, Any]]
    reseal: Callable[[Path], None] | None = None
    share: float = 1.0


def digest(*parts: Any) -> str:
    """Short hash of arrays and texts."""
    made = hashlib.sha256()
    for part in parts:
        values = np.asarray(part)
        made.update(str((values.dtype.kind, values.shape)).encode())
        made.update(
            repr(values.tolist()).encode() if values.dtype.kind == "O" else np.ascontiguousarray(values).tobytes()
        )
    return made.hexdigest()[:16]


def reports_damage(notes: Any) -> bool:
    """Whether notes or warnings report damage."""
    return any(_DAMAGE.search(str(note)) for note in notes)


def checked(path: Path) -> dict[str, Any]:
    """Read as `histoscribe check` does: spots, counts and the whole picture; raises what it was refused with."""
    from histoscribe import check

    content, notes = [], []
    for reading, _ in check(path):
        if isinstance(reading, Exception):
            raise reading
        section = reading.section
        counts = section.spots.X.tocsr().sorted_indices() if section.has_counts else None
        content.append(
            digest(section.spots.obs_names.to_numpy(str), section.xy_px, np.float64(section.mpp))
            + (digest(counts.toarray(), section.spots.var_names.to_numpy(str)) if counts is not None else "")
            + (digest(section.image.read(0, 0, section.image.width, section.image.height)) if section.image else "")
        )
        notes += reading.notes
    return {"content": content, "noted": reports_damage(notes)}


def _check(name: str) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: checked(folder / name if name else folder)


def _phantom(**other: Any) -> Any:
    from histoscribe.phantom import make_phantom

    return make_phantom(SEED, **{"size_um": SIZE_UM, "mpp": 2.0, "n_domains": 2, "n_genes": N_GENES, **other})


def _visium(version: int = 2) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        from histoscribe.phantom import write_spaceranger

        write_spaceranger(_phantom(), folder / "s", version=version)
        (folder / "s" / "truth.csv").unlink()
        (folder / "s" / "outs" / "spatial" / "tissue_lowres_image.png").unlink()

    return write


def _visium_mtx(folder: Path) -> None:
    from scipy.io import mmwrite

    from histoscribe.io.matrix import read_10x_h5

    _visium()(folder)
    matrix = folder / "s" / "outs" / "filtered_feature_bc_matrix.h5"
    table = read_10x_h5(matrix).table
    matrix.unlink()
    to = matrix.with_suffix("")
    to.mkdir()
    mmwrite(to / "matrix.mtx", table.X.T.tocoo().astype(np.int32))
    (to / "barcodes.tsv").write_text("\n".join(table.obs_names) + "\n")
    lines = [
        f"{one}\t{name}\tGene Expression" for one, name in zip(table.var["gene_ids"], table.var_names, strict=True)
    ]
    (to / "features.tsv").write_text("\n".join(lines) + "\n")
    for path in list(to.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()


def _visium_hd(folder: Path) -> None:
    import shutil

    from histoscribe.phantom import write_visium_hd

    write_visium_hd(_phantom(kind="visium_hd", size_um=256.0, mpp=2.0), folder / "s")
    for bin_um in (2, 16):
        shutil.rmtree(folder / "s" / "outs" / "binned_outputs" / f"square_{bin_um:03d}um")


def _st(folder: Path) -> None:
    from histoscribe.phantom import write_st

    phantom = _phantom(kind="st", size_um=1200.0)
    write_st(phantom, folder)
    name = phantom.name
    rows = ["section,spots,counts,image", f"S1,spots/{name}_selection.tsv,counts/{name}.tsv.gz,images/{name}.jpg"]
    (folder / "sheet.csv").write_text("\n".join(rows) + "\n")


def _challenge(folder: Path) -> None:
    from histoscribe.phantom import cohort
    from histoscribe.phantom.challenge import write_challenge_h5

    write_challenge_h5(list(cohort(2, like=_phantom())), folder / "c.h5")
    (folder / "c_truth.csv").unlink()


def spots_of_phantom(*, picture: bool = False) -> Any:
    """Make a section's AnnData; with a small picture in `uns` where asked."""
    phantom = _phantom()
    spots = phantom.spots()
    table = spots[:, :].copy()
    table.uns.clear()
    table.obsm = {"spatial": spots.obsm["spatial"]}
    table.obs = table.obs[["array_row", "array_col"]]
    table.var = table.var[[]]
    if picture:
        height, width = phantom.shape
        small = phantom.image.read(0, 0, width, height)[::2, ::2].astype(np.float32) / 255
        factors = {"tissue_hires_scalef": 0.5, "spot_diameter_fullres": 55.0 / phantom.mpp}
        table.uns["spatial"] = {"lib": {"images": {"hires": small}, "scalefactors": factors}}
    return table


def _h5ad(kind: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        from scipy import sparse

        table = spots_of_phantom(picture=kind in ("picture", "libraries"))
        table.X = {"csc": sparse.csc_matrix, "dense": lambda x: x.toarray()}.get(kind, sparse.csr_matrix)(table.X)
        if kind == "libraries":
            library = table.uns["spatial"]["lib"]
            table.uns["spatial"] = {"left": library, "right": library}
            half = table.n_obs // 2
            table.obs["library_id"] = ["left"] * half + ["right"] * (table.n_obs - half)
        table.write_h5ad(folder / "s.h5ad")

    return write


def _spatialdata(folder: Path) -> None:
    from histoscribe.io import read_section

    table = spots_of_phantom(picture=True)
    table.write_h5ad(folder / "s.h5ad")
    read_section(folder / "s.h5ad").to_spatialdata().write(folder / "s.zarr")
    (folder / "s.h5ad").unlink()


def _generic(folder: Path) -> None:
    import imagecodecs
    import pandas as pd

    phantom = _phantom()
    spots = phantom.spots()
    height, width = phantom.shape
    (folder / "he.png").write_bytes(imagecodecs.png_encode(phantom.image.read(0, 0, width, height)))
    xy = spots.obsm["spatial"]
    pd.DataFrame({"barcode": spots.obs_names, "x": xy[:, 0], "y": xy[:, 1]}).to_csv(folder / "spots.csv", index=False)
    counts = pd.DataFrame(spots.X.toarray().astype(int), index=spots.obs_names, columns=spots.var_names)
    counts.to_csv(folder / "counts.csv")
    (folder / "sheet.csv").write_text("section,patient,spots,counts,image,mpp\nS1,P1,spots.csv,counts.csv,he.png,2.0\n")


def _sheet(folder: Path) -> None:
    spots_of_phantom().write_h5ad(folder / "a.h5ad")
    spots_of_phantom().write_h5ad(folder / "b.h5ad")
    rows = ["section,patient,format,path,image,mpp,scale,bin_um", "S1,P1,anndata,a.h5ad,,0.5,,", "S2,P2,,b.h5ad,,,,"]
    (folder / "sheet.csv").write_text("\n".join(rows) + "\n")


_OUTS = "s/outs"
_MATRIX = f"{_OUTS}/filtered_feature_bc_matrix"
_GZ_TABLE = {f"{name} in gzip": text.within_gzip(damage) for name, damage in text.TABLE.items()}
_GZ_MTX = {f"{name} in gzip": text.within_gzip(damage) for name, damage in arrays.MTX.items()}

SECTIONS = (
    Family("visium h5", _visium(), (Target(f"{_MATRIX}.h5", edits=arrays.HDF5, structure="matrix"),), _check("s")),
    Family(
        "visium mtx",
        _visium_mtx,
        (Target(f"{_MATRIX}/matrix.mtx.gz", damages=_GZ_MTX), Target(f"{_MATRIX}/[bf]*.gz", damages=_GZ_TABLE)),
        _check("s"),
    ),
    Family("visium positions", _visium(), (Target(f"{_OUTS}/spatial/*.csv", damages=text.TABLE),), _check("s")),
    Family("visium positions v1", _visium(1), (Target(f"{_OUTS}/spatial/*.csv", damages=text.TABLE),), _check("s")),
    Family("scalefactors", _visium(), (Target(f"{_OUTS}/spatial/*.json", damages=text.JSON),), _check("s")),
    Family(
        "visium hd h5",
        _visium_hd,
        (Target(f"{_OUTS}/binned_outputs/*/*.h5", edits=arrays.HDF5, structure="matrix"),),
        _check("s"),
    ),
    Family(
        "visium hd parquet",
        _visium_hd,
        (
            Target(f"{_OUTS}/binned_outputs/*/spatial/*.parquet", edits=arrays.PARQUET),
            Target(f"{_OUTS}/binned_outputs/*/spatial/*.json", damages=text.JSON),
        ),
        _check("s"),
    ),
    Family("st counts", _st, (Target("counts/*.gz", damages=_GZ_TABLE),), _check("sheet.csv")),
    Family("st selection", _st, (Target("spots/*.tsv", damages=text.TABLE),), _check("sheet.csv")),
    Family("challenge h5", _challenge, (Target("c.h5", edits=arrays.HDF5),), _check("c.h5")),
    Family("h5ad csr", _h5ad("csr"), (Target("s.h5ad", edits=arrays.HDF5, structure="X"),), _check("s.h5ad")),
    Family("h5ad csc", _h5ad("csc"), (Target("s.h5ad", edits=arrays.HDF5, structure="X"),), _check("s.h5ad")),
    Family("h5ad dense", _h5ad("dense"), (Target("s.h5ad", edits=arrays.HDF5),), _check("s.h5ad")),
    Family("h5ad picture", _h5ad("picture"), (Target("s.h5ad", edits=arrays.HDF5),), _check("s.h5ad")),
    Family("h5ad libraries", _h5ad("libraries"), (Target("s.h5ad", edits=arrays.HDF5),), _check("s.h5ad")),
    Family(
        "spatialdata zarr",
        _spatialdata,
        (Target("s.zarr/**/zarr.json", damages=text.JSON), Target("s.zarr/**/c/**/*"), Target("s.zarr/**/*.parquet")),
        _check("s.zarr"),
    ),
    Family("generic spots", _generic, (Target("spots.csv", damages=text.TABLE),), _check("sheet.csv")),
    Family("generic counts", _generic, (Target("counts.csv", damages=text.TABLE),), _check("sheet.csv")),
    Family("sample sheet", _sheet, (Target("sheet.csv", damages=text.TABLE),), _check("sheet.csv")),
)


def damage(family: Family, folder: Path, rng: Random) -> dict[str, Any]:
    """Damage one file of an input in place: which, how, and whether that can be detected.

    Half of the damages fit the file's format, half do not; where a matrix's structure can be damaged, a third does.
    """
    how, paths = rng.choice([(one, paths) for one in family.targets if (paths := _files(folder, one.pattern))])
    path = rng.choice(paths)
    detectable = False
    if how.structure and rng.random() < 0.34:
        name, detectable = rng.choice(sorted(arrays.STRUCTURE)), True
        arrays.damage_structure(path, how.structure, name, rng)
    elif how.edits and rng.random() < 0.6:
        name = rng.choice(sorted(how.edits))
        how.edits[name](path, rng)
    else:
        by_format = how.damages and rng.random() < 0.6
        ways = how.damages if by_format else text.BYTES
        name = rng.choice(sorted(ways))
        path.write_bytes(ways[name](path.read_bytes(), rng))
    if family.reseal is not None:
        family.reseal(folder)
    return {"file": path.relative_to(folder).as_posix(), "damage": name, "detectable": detectable}


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())
