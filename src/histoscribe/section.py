"""Section: one tissue section, its picture and the spots measured on it.

Checked once when it is made, so that nothing downstream re-checks. Besides `io`, this is the only code that knows the
names of SpatialData's elements.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError, listing
from histoscribe.graph.spacing import pitch_of
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.stored import StoredSource

# the elements of a SpatialData object that histoscribe writes
IMAGE, SPOTS, TISSUE, TABLE = "image", "spots", "tissue", "table"
# column of obs: whether the measurement of a spot did not fail, see `expression.dead_spots`
MEASURED = "hs_measured"
PICTURE = "picture"  # platform of a picture alone, the one section that may have no spots

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Lattice:
    """The regular grid on which an assay places its spots, in microns."""

    kind: Literal["hex", "square"]
    pitch_um: float
    spot_diameter_um: float


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One tissue section.

    Parameters
    ----------
    name
        Letters, digits, dot, dash and underscore; it becomes a folder's name.
    spots
        `X` raw counts (n spots, g genes), sparse, possibly of zero genes; `obsm["spatial"]` float64 (n, 2), x (column)
        before y (row), in level-0 pixels; `obs` has `array_row` and `array_col` where the assay has a lattice.
    image
        The H&E picture with its microns per pixel, or None where there are only spots.
    platform
        "visium", "visium_hd", "st", ...
    patient
        The patient it is from; None where unknown. Sections of one patient are never split between training and test.
    lattice
        The assay's grid, or None for spots placed anywhere.

    Raises
    ------
    InputError
        Where any of this does not hold, naming it.

    Examples
    --------
    >>> import anndata
    >>> import numpy as np
    >>> from histoscribe import Lattice, Section
    >>> spots = anndata.AnnData(np.array([[3, 0], [1, 2], [0, 5]]))
    >>> spots.obsm["spatial"] = np.array([[10, 20], [210, 20], [410, 20]])
    >>> visium = Lattice("hex", pitch_um=100.0, spot_diameter_um=55.0)
    >>> section = Section.from_anndata(spots, name="A1", lattice=visium)
    >>> section.mpp, section.has_counts
    (0.5, True)
    >>> section.xy_um
    array([[  5.,  10.],
           [105.,  10.],
           [205.,  10.]])
    """

    name: str
    spots: AnnData
    image: SlideImage | None = None
    platform: str = "generic"
    patient: str | None = None
    lattice: Lattice | None = None

    def __post_init__(self) -> None:
        """Check everything at once and list all that is wrong."""
        problems = _name_problems(self.name)
        if self.spots.n_obs or self.platform != PICTURE:
            problems = [*problems, *_spot_problems(self.spots)]
        if self.image is not None and not (self.image.mpp and np.isfinite(self.image.mpp) and self.image.mpp > 0):
            problems.append("the image has no microns per pixel; give `mpp`")
        if problems:
            raise InputError("; ".join(problems), where=f"section {self.name!r}")

    @property
    def xy_px(self) -> NDArray[np.float64]:
        """Centres of the spots, (n, 2), x before y, in level-0 pixels."""
        xy: NDArray[np.float64] = self.spots.obsm["spatial"]
        return xy

    @property
    def xy_um(self) -> NDArray[np.float64]:
        """Centres of the spots, (n, 2), x before y, in microns."""
        return self.xy_px * self.mpp

    @property
    def mpp(self) -> float:
        """Microns per level-0 pixel: the image's, or the lattice's pitch over its pitch in pixels, or 1."""
        if self.image is not None and self.image.mpp is not None:
            return self.image.mpp
        if self.lattice is not None and self.spots.n_obs > 1:
            return self.lattice.pitch_um / pitch_of(self.xy_px)
        return 1.0

    @property
    def has_counts(self) -> bool:
        """Whether genes were measured on the spots."""
        return bool(self.spots.n_vars > 0 and self.spots.X is not None and self.spots.X.nnz > 0)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Spots whose measurement did not fail, (n,); all of them where nobody looked.

        Raises InputError where a column of that name, which may have been received, holds anything but true and false.
        """
        column = self.spots.obs.get(MEASURED)
        if column is None:
            return np.ones(self.spots.n_obs, bool)
        if column.dtype != bool:
            raise InputError(
                "which spots were measured is not said in the way histoscribe does",
                where=f"section {self.name!r}, obs[{MEASURED!r}]",
                expected="true or false for every spot",
                found=str(column.dtype),
                fix="remove the column, or make the result anew",
            )
        found: NDArray[np.bool_] = column.to_numpy(bool)
        return found

    def of_spots(self, chosen: NDArray[np.bool_]) -> "Section":
        """Return the section with some of its spots, (n,) bool; itself where all are chosen."""
        return self if chosen.all() else replace(self, spots=self.spots[chosen].copy())

    def require_image(self) -> SlideImage:
        """Return the image, or say that this section has none; raises InputError."""
        if self.image is None:
            raise InputError(
                "this section has no image",
                where=f"section {self.name!r}",
                fix="give the H&E image beside the spots, for example in the column `image` of a sample sheet",
            )
        return self.image

    @classmethod
    def of_picture(cls, image: SlideImage, *, name: str) -> "Section":
        """Make a section of a picture alone, on which there are no spots."""
        spots = AnnData(sparse.csr_matrix((0, 0), dtype=np.float32))
        spots.obsm["spatial"] = np.empty((0, 2))
        return cls(name=name, spots=spots, image=image, platform=PICTURE)

    @classmethod
    def from_anndata(
        cls,
        spots: AnnData,
        *,
        name: str,
        image: SlideImage | None = None,
        platform: str = "generic",
        patient: str | None = None,
        lattice: Lattice | None = None,
    ) -> "Section":
        """Make a section of an AnnData whose `obsm["spatial"]` is in level-0 pixels, x before y.

        Counts become CSR and coordinates float64; the given object is not changed.
        """
        spots = spots.copy()
        spots.X = sparse.csr_matrix((spots.n_obs, 0)) if spots.X is None else sparse.csr_matrix(spots.X)
        if "spatial" not in spots.obsm:
            raise InputError(
                "the spots have no coordinates",
                where=f"section {name!r}",
                expected='obsm["spatial"], x before y in pixels of the full-resolution image',
                found=f"obsm: {listing(spots.obsm)}",
            )
        spots.obsm["spatial"] = np.asarray(spots.obsm["spatial"], np.float64)[:, :2]
        spots.obs_names = spots.obs_names.astype(str)
        return cls(name=name, spots=spots, image=image, platform=platform, patient=patient, lattice=lattice)

    def to_spatialdata(self) -> Any:
        """Return the section as a SpatialData object: image pyramid, spots as circles, and the table, lazily.

        Coordinates are level-0 pixels in the system "global" and microns in the system "um". A picture alone has no
        spots and no table.
        """
        from spatialdata import SpatialData
        from spatialdata.models import Image2DModel, ShapesModel, TableModel
        from spatialdata.transformations import Identity, Scale

        systems = {"global": Identity(), "um": Scale([self.mpp, self.mpp], axes=("x", "y"))}
        elements: dict[str, Any] = {}
        if self.spots.n_obs:
            diameter_um = self.lattice.spot_diameter_um if self.lattice else pitch_of(self.xy_px) * self.mpp / 2
            table = self.spots.copy()
            table.obs["region"] = pd.Categorical([SPOTS] * table.n_obs)
            table.obs["spot"] = table.obs_names.to_numpy()
            table.uns["histoscribe"] = self._header()
            shapes = ShapesModel.parse(
                self.xy_px,
                geometry=0,
                radius=diameter_um / self.mpp / 2,
                index=table.obs_names.to_numpy(),
                transformations=systems,
            )
            tables = TableModel.parse(table, region=SPOTS, region_key="region", instance_key="spot")
            elements = {"shapes": {SPOTS: shapes}, "tables": {TABLE: tables}}
        if self.image is not None:
            steps = max(0, int(np.ceil(np.log2(max(self.image.shape) / 1024))))
            elements["images"] = {
                IMAGE: Image2DModel.parse(
                    self.image.to_dask(),
                    dims=("c", "y", "x"),
                    c_coords=["r", "g", "b"],
                    scale_factors=[2] * steps or None,
                    chunks=(3, 1024, 1024),  # a tenth of the files that the default of 256 makes
                    transformations=systems,
                )
            }
        return SpatialData(**elements)

    def _header(self) -> dict[str, Any]:
        lattice = self.lattice
        return {
            "name": self.name,
            "platform": self.platform,
            "patient": self.patient or "",
            "mpp": self.mpp,
            "lattice": lattice.kind if lattice else "",
            "pitch_um": lattice.pitch_um if lattice else 0.0,
            "spot_diameter_um": lattice.spot_diameter_um if lattice else 0.0,
        }

    @classmethod
    def from_spatialdata(cls, sdata: Any, *, name: str | None = None, path: Path | None = None) -> "Section":
        """Read back what `to_spatialdata` made.

        Raises
        ------
        InputError
            Where the elements are named otherwise; `histoscribe.io` reads other programs' SpatialData.
        """
        table = sdata.tables.get(TABLE)
        if table is None or "histoscribe" not in table.uns or "spatial" not in table.obsm:
            raise InputError(
                "this SpatialData object was not written by histoscribe",
                where=path,
                expected=f"a table {TABLE!r} with uns['histoscribe']",
                found=f"tables: {listing(sdata.tables)}",
            )
        header = table.uns["histoscribe"]
        image = None
        if IMAGE in sdata.images:
            image = SlideImage(raster_source(sdata.images[IMAGE], where=path), mpp=float(header["mpp"]), path=path)
        lattice = None
        if header["lattice"]:
            lattice = Lattice(header["lattice"], float(header["pitch_um"]), float(header["spot_diameter_um"]))
        spots = table.copy()  # without what ties it to the other elements
        spots.uns.pop("spatialdata_attrs", None)
        spots.obs = spots.obs.drop(columns=["region", "spot"], errors="ignore")
        return cls.from_anndata(
            spots,
            name=name or str(header["name"]),
            image=image,
            platform=str(header["platform"]),
            patient=str(header["patient"]) or None,
            lattice=lattice,
        )


def raster_source(element: Any, *, where: Path | None = None, channels: Sequence[int] = (0, 1, 2)) -> ArraySource:
    """Pixels of a SpatialData image, single-scale or multi-scale, channels first, uint8 (c, y, x).

    `channels` are those of red, green and blue.
    """
    if hasattr(element, "children") and element.children:  # a DataTree, one child per scale
        levels = [next(iter(child.data_vars.values())).data for child in element.children.values()]
    else:
        levels = [element.data]
    chosen = slice(3) if tuple(channels) == (0, 1, 2) else list(channels)
    return StoredSource([level[chosen] for level in levels], where=where)


def _name_problems(name: str) -> list[str]:
    if _SAFE_NAME.fullmatch(name):
        return []
    return ["a section's name may hold letters, digits, '.', '-' and '_' only, and starts with a letter or digit"]


def _spot_problems(spots: AnnData) -> list[str]:
    if spots.n_obs == 0:
        return ["there are no spots"]
    problems = []
    xy = spots.obsm.get("spatial")
    if xy is None or xy.shape != (spots.n_obs, 2) or xy.dtype != np.float64:
        problems.append('obsm["spatial"] must be float64 (n, 2), x before y')
    elif not np.isfinite(xy).all():
        bad = spots.obs_names[~np.isfinite(xy).all(axis=1)]
        problems.append(f"{len(bad):,} spots have no finite coordinates ({listing(bad, 3)})")
    if not spots.obs_names.is_unique:
        twice = spots.obs_names[spots.obs_names.duplicated()].unique()
        problems.append(f"{len(twice):,} barcodes stand more than once ({listing(twice, 3)})")
    if not sparse.issparse(spots.X):
        problems.append("X must be a sparse matrix of counts")
    elif spots.X.nnz and not (np.isfinite(spots.X.data).all() and spots.X.data.min() >= 0):
        problems.append("X holds negative or non-finite values; it must hold raw counts")
    return problems
