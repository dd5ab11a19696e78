"""Write phantoms as vendors' folders, so that readers and the demo handle them like a user's data."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError
from histoscribe.phantom.layouts import HD_BINS_UM, VISIUM_SPOT_UM, Layout
from histoscribe.phantom.model import Phantom
from histoscribe.phantom.picture import RGB, Compression, shrink_array, write_png, write_tiff

HIRES_PX, LOWRES_PX = 2000, 600
_HD_HIRES_PX = 6000
_FIDUCIAL_UM = 80.0


def write_spaceranger(phantom: Phantom, folder: Path, *, version: int = 2, compression: Compression = "jpeg") -> Path:
    """Write a Visium section as SpaceRanger does: `outs/`, beside it the full-resolution TIFF and `truth.csv`.

    Parameters
    ----------
    phantom
        A phantom of kind "visium".
    folder
        Made where it does not exist; the same phantom gives the same bytes.
    version
        SpaceRanger's: 1 writes tissue_positions_list.csv without a header and with whole pixels, later ones
        tissue_positions.csv with a header.
    compression
        Of the TIFF: "jpeg", "zstd" or "none".

    Returns
    -------
    `folder / "outs"`.

    Raises
    ------
    ConfigError
        Where the phantom is of another kind.

    Examples
    --------
    >>> from pathlib import Path
    >>> from histoscribe.phantom import make_phantom, write_spaceranger
    >>> outs = write_spaceranger(make_phantom(size_um=400.0), Path("my_section"))
    >>> sorted(path.name for path in outs.iterdir())
    ['filtered_feature_bc_matrix.h5', 'spatial']
    """
    _require(phantom, "visium")
    outs = Path(folder) / "outs"
    spatial = outs / "spatial"
    spatial.mkdir(parents=True, exist_ok=True)
    layout, spots = phantom.layout(), phantom.spots()
    write_10x_h5(
        outs / "filtered_feature_bc_matrix.h5", spots.X, spots.obs_names.to_numpy(str), spots.var_names.to_numpy(str)
    )
    positions = _positions(phantom, layout)
    if version == 1:
        pixels = ["pxl_row_in_fullres", "pxl_col_in_fullres"]
        positions[pixels] = positions[pixels].round().astype(int)
        positions.to_csv(spatial / "tissue_positions_list.csv", index=False, header=False)
    else:
        positions.to_csv(spatial / "tissue_positions.csv", index=False)
    hires = write_tiff(
        phantom.image, Path(folder) / f"{phantom.name}.tif", mpp=phantom.mpp, compression=compression, max_side=HIRES_PX
    )
    scales = _write_small(phantom, hires, spatial)
    facts = {
        "spot_diameter_fullres": VISIUM_SPOT_UM / phantom.mpp,
        "fiducial_diameter_fullres": _FIDUCIAL_UM / phantom.mpp,
    }
    _write_json(spatial / "scalefactors_json.json", {**scales, **facts})
    _write_truth(Path(folder) / "truth.csv", spots.obs)
    return outs


def write_visium_hd(phantom: Phantom, folder: Path, *, compression: Compression = "jpeg") -> Path:
    """Write a Visium HD section: `outs/binned_outputs/square_{002,008,016}um`, the TIFF, and `truth.csv`.

    `truth.csv` holds the bins of 8 and 16 um; their names give their size. Returns `folder / "outs"`; raises
    ConfigError where the phantom is of another kind.
    """
    _require(phantom, "visium_hd")
    outs = Path(folder) / "outs"
    outs.mkdir(parents=True, exist_ok=True)
    hires = write_tiff(
        phantom.image,
        Path(folder) / f"{phantom.name}.tif",
        mpp=phantom.mpp,
        compression=compression,
        max_side=_HD_HIRES_PX,
    )
    genes = phantom.programmes.var.index.to_numpy(str)
    truth = []
    for bin_um in HD_BINS_UM:
        binned = outs / "binned_outputs" / f"square_{bin_um:03d}um"
        spatial = binned / "spatial"
        spatial.mkdir(parents=True, exist_ok=True)
        layout = phantom.layout(bin_um)
        kept = phantom.on_tissue(layout)
        write_10x_h5(
            binned / "filtered_feature_bc_matrix.h5", phantom.bin_counts(bin_um)[kept], layout.barcodes[kept], genes
        )
        _positions(phantom, layout).to_parquet(spatial / "tissue_positions.parquet", index=False)
        scales = _write_small(phantom, hires, spatial)
        facts = {
            "spot_diameter_fullres": bin_um / phantom.mpp,
            "bin_size_um": float(bin_um),
            "microns_per_pixel": phantom.mpp,
            "fiducial_diameter_fullres": _FIDUCIAL_UM / phantom.mpp,
            "regist_target_img_scalef": scales["tissue_hires_scalef"],
        }
        _write_json(spatial / "scalefactors_json.json", {**scales, **facts})
        if bin_um > min(HD_BINS_UM):
            places = layout.take(kept)
            names = np.asarray(phantom.domain_names)[phantom.geometry.domain(*places.xy_um.T)]
            truth.append(pd.DataFrame({"barcode": places.barcodes, "domain": names}))
    pd.concat(truth).to_csv(Path(folder) / "truth.csv", index=False)
    return outs


def write_st(phantom: Phantom, folder: Path) -> Path:
    """Write a legacy ST section with the folders and files of the her2st data.

    `counts/NAME.tsv.gz` (rows "XxY"), `spots/NAME_selection.tsv` (lattice and pixels), `images/NAME.jpg`, and
    `truth.csv`. Returns `folder`; raises ConfigError where the phantom is of another kind.
    """
    import imagecodecs

    _require(phantom, "st")
    folder = Path(folder)
    for name in ("counts", "spots", "images"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    spots = phantom.spots()
    counts = pd.DataFrame(spots.X.toarray(), index=spots.obs_names, columns=spots.var_names)
    zipped = {"method": "gzip", "mtime": 0, "compresslevel": 6}
    counts.to_csv(folder / "counts" / f"{phantom.name}.tsv.gz", sep="\t", compression=zipped)
    xy = spots.obsm["spatial"]
    table = pd.DataFrame({"x": spots.obs["array_col"], "y": spots.obs["array_row"]})
    table["new_x"], table["new_y"] = table["x"].astype(float), table["y"].astype(float)
    table["pixel_x"], table["pixel_y"], table["selected"] = xy[:, 0].round(2), xy[:, 1].round(2), 1
    table.to_csv(folder / "spots" / f"{phantom.name}_selection.tsv", sep="\t", index=False)
    height, width = phantom.shape
    pixels = phantom.image.read(0, 0, width, height)
    (folder / "images" / f"{phantom.name}.jpg").write_bytes(imagecodecs.jpeg_encode(pixels, level=95))
    _write_truth(folder / "truth.csv", spots.obs)
    return folder


def write_10x_h5(path: Path, counts: sparse.csr_matrix, barcodes: NDArray[np.str_], genes: NDArray[np.str_]) -> None:
    """Write counts (n, g) in Cell Ranger 3's HDF5 layout: one column per barcode, features by rows."""
    import h5py

    counts = sparse.csr_matrix(counts)
    counts.sort_indices()
    n = len(genes)
    with h5py.File(path, "w") as file:
        file.attrs["chemistry_description"] = "Phantom"
        file.attrs["filetype"] = "matrix"
        file.attrs["version"] = 2
        file.attrs["library_ids"] = np.array([b"phantom"])
        file.attrs["original_gem_groups"] = np.array([1])
        matrix = file.create_group("matrix")
        arrays = {
            "barcodes": barcodes.astype("S"),
            "data": counts.data.astype(np.int32),
            "indices": counts.indices.astype(np.int64),
            "indptr": counts.indptr.astype(np.int64),
            "shape": np.array(counts.shape[::-1], np.int32),
            "features/_all_tag_keys": np.array([b"genome"]),
            "features/feature_type": np.full(n, b"Gene Expression"),
            "features/genome": np.full(n, b"phantom"),
            "features/id": np.char.add("PHANTOM", genes).astype("S"),
            "features/name": genes.astype("S"),
        }
        for name, values in arrays.items():
            options = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if values.size > 64 else {}
            matrix.create_dataset(name, data=values, **options)


def _require(phantom: Phantom, kind: str) -> None:
    if phantom.kind != kind:
        raise ConfigError("this phantom is measured otherwise", where="kind", expected=kind, found=phantom.kind)


def _positions(phantom: Phantom, layout: Layout) -> pd.DataFrame:
    """SpaceRanger's table of all places, on and off tissue."""
    xy_px = layout.xy_um / phantom.mpp
    return pd.DataFrame(
        {
            "barcode": layout.barcodes,
            "in_tissue": phantom.on_tissue(layout).astype(np.int32),
            "array_row": layout.array_row.astype(np.int32),
            "array_col": layout.array_col.astype(np.int32),
            "pxl_row_in_fullres": xy_px[:, 1],
            "pxl_col_in_fullres": xy_px[:, 0],
        }
    )


def _write_small(phantom: Phantom, hires: RGB, spatial: Path) -> dict[str, float]:
    """Write the hires and lowres pictures; return their scale factors from full-resolution pixels."""
    lowres = shrink_array(hires, LOWRES_PX)
    write_png(spatial / "tissue_hires_image.png", hires)
    write_png(spatial / "tissue_lowres_image.png", lowres)
    longest = max(phantom.shape)
    return {
        "tissue_hires_scalef": max(hires.shape) / longest,
        "tissue_lowres_scalef": max(lowres.shape) / longest,
    }


def _write_json(path: Path, values: dict[str, float]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _write_truth(path: Path, obs: pd.DataFrame) -> None:
    pd.DataFrame({"barcode": obs.index, "domain": obs["domain"].astype(str).to_numpy()}).to_csv(path, index=False)
