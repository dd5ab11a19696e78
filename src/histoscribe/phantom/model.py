"""Phantom: one synthetic section with exactly known picture, counts and truth, drawn only where they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError
from histoscribe.phantom.catalogue import CELL_NAMES, MAX_DOMAINS, tissues
from histoscribe.phantom.cells import LONGEST_UM, CellField
from histoscribe.phantom.counts import (
    MOLECULES_PER_UM2,
    Footprints,
    capture_depths,
    draw_bin_counts,
    draw_counts,
    gather,
    mean_bins,
)
from histoscribe.phantom.geometry import Geometry, make_geometry
from histoscribe.phantom.glands import GlandField, make_glands
from histoscribe.phantom.layouts import HD_BINS_UM, Kind, Layout, hex_layout, square_layout, st_layout
from histoscribe.phantom.paint import Painter, PhantomImage, Stain
from histoscribe.phantom.programmes import FINE_UM, FactorField, Programmes, make_factors, make_programmes
from histoscribe.phantom.randomness import Float, SmoothField, generator, smooth_field
from histoscribe.phantom.raster import draw_labels
from histoscribe.phantom.textures import Textures

KINDS: tuple[Kind, ...] = ("visium", "visium_hd", "st")
_HAEMATOXYLIN = np.array([0.84, 0.98, 0.44])
_EOSIN = np.array([0.14, 0.88, 0.46])


@dataclass(frozen=True, slots=True, eq=False)
class FineMap:
    """Expected expression of a window on a grid of square bins.

    Parameters
    ----------
    factors
        (rows, columns, r) float32; zero off tissue.
    loadings
        (r, g) molecules per bin of each gene where a factor is 1 and the capture depth is 1.
    genes
        (g,) names.
    origin_um, bin_um
        Upper left corner (x, y) of the window and side of a bin.
    """

    factors: NDArray[np.float32]
    loadings: Float
    genes: tuple[str, ...]
    origin_um: tuple[float, float]
    bin_um: float

    def gene(self, name: str) -> NDArray[np.float32]:
        """Return the expected molecules of one gene per bin, (rows, columns) float32."""
        column = self.loadings[:, self.genes.index(name)].astype(np.float32)
        expected: NDArray[np.float32] = (self.factors * column).sum(axis=-1)
        return expected


@dataclass(frozen=True)
class Phantom:
    """One synthetic section; see `make_phantom` for the parameters."""

    seed: int = 0
    kind: Kind = "visium"
    size_um: tuple[float, float] = (3200.0, 3200.0)
    mpp: float = 0.5
    n_domains: int = 6
    n_genes: int = 600
    patient: int = 0
    section: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.kind not in KINDS:
            raise ConfigError("unknown kind of phantom", where="kind", expected=" or ".join(KINDS), found=self.kind)
        if not 2 <= self.n_domains <= MAX_DOMAINS:
            raise ConfigError(
                "a phantom cannot have so many domains",
                where="n_domains",
                expected=f"2 to {MAX_DOMAINS}",
                found=self.n_domains,
            )
        if min(self.size_um) < 250 or not 0.1 <= self.mpp <= 4 or self.n_genes < 40:
            raise ConfigError(
                "a phantom cannot be so small or so coarse",
                where="size_um, mpp, n_genes",
                expected="at least 250 um, 0.1 to 4 um per pixel, at least 40 genes",
                found=f"{self.size_um}, {self.mpp}, {self.n_genes}",
            )

    # ---- names -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the section: patient and section, "P0S0"."""
        return f"{self.patient_name}S{self.section}"

    @property
    def patient_name(self) -> str:
        """Name of the patient, "P0"."""
        return f"P{self.patient}"

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the picture in pixels."""
        width, height = (round(side / self.mpp) for side in self.size_um)
        return height, width

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Names of the domains; the index is the domain's number."""
        return tuple(tissue.name for tissue in tissues(self.n_domains))

    # ---- picture -----------------------------------------------------------------------------------------------

    @cached_property
    def image(self) -> PhantomImage:
        """The picture, drawn where it is read: `.shapes` and `.read(x, y, width, height, level)`."""
        painter = Painter(
            geometry=self.geometry,
            glands=self._glands,
            cells=self._cells,
            flow=self._flow,
            thickness=smooth_field(700.0, *self._key, "thickness"),
            mottle=smooth_field(330.0, *self._key, "mottle"),
            textures=Textures(self.mpp, *self._key),
            stain=_stain(self.seed, self.patient),
            mpp=self.mpp,
        )
        height, width = self.shape
        return PhantomImage(painter, width, height)

    # ---- truth -------------------------------------------------------------------------------------------------

    @cached_property
    def geometry(self) -> Geometry:
        """Where the tissue is and which domain a point belongs to."""
        return make_geometry(self.size_um, self.n_domains, *self._key)

    def domain_at(self, xy_px: Float) -> NDArray[np.int8]:
        """Domain at each point, (n, 2) in pixels, x before y; -1 on glass."""
        xy_um = np.asarray(xy_px, np.float64) * self.mpp
        return self.geometry.domain(xy_um[:, 0], xy_um[:, 1])

    def nuclei(self, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None) -> pd.DataFrame:
        """Nuclei with their centre in a window, in pixels; the whole section where no size is given.

        Returns
        -------
        One row per nucleus: id, x_px, y_px, area_um2, major_um, minor_um, angle_rad, cell_type.
        """
        width, height = width or self.shape[1] - x, height or self.shape[0] - y
        corners = (v * self.mpp for v in (x, y, x + width, y + height))
        return self._cells.window(*corners).table(self.mpp)

    def nuclei_labels(self, x: int, y: int, width: int, height: int) -> NDArray[np.int32]:
        """Label image of a window in pixels: the id of the nucleus that covers the pixel's centre, else 0."""
        reach = 1.3 * LONGEST_UM
        x0, y0, x1, y1 = (v * self.mpp for v in (x, y, x + width, y + height))
        nuclei = self._cells.window(x0 - reach, y0 - reach, x1 + reach, y1 + reach)
        return draw_labels(nuclei, x, y, width, height, mpp=self.mpp)

    def expression_map(self, x_um: int, y_um: int, width_um: int, height_um: int, *, bin_um: int) -> FineMap:
        """Return the expected expression of a window, in whole bins of 2, 4, 8, ... um.

        Raises
        ------
        ConfigError
            Where the window is not made of whole bins of an even number of um.
        """
        if bin_um % 2 or any(v % bin_um for v in (x_um, y_um, width_um, height_um)):
            raise ConfigError(
                "the window does not consist of whole bins",
                where="expression_map",
                expected=f"multiples of an even bin_um, here {bin_um}",
                found=f"x={x_um}, y={y_um}, {width_um} x {height_um} um",
            )
        factors, _ = self._factors.bins(*(int(v // FINE_UM) for v in (x_um, y_um, width_um, height_um)))
        factors = mean_bins(factors, int(bin_um // FINE_UM))
        loadings = self.programmes.loadings * MOLECULES_PER_UM2 * bin_um**2
        return FineMap(factors, loadings, tuple(self.programmes.var.index), (x_um, y_um), bin_um)

    @cached_property
    def programmes(self) -> Programmes:
        """Genes, and what drives them."""
        return make_programmes(self.n_genes, self.domain_names, self.seed, self.patient)

    # ---- measurement -------------------------------------------------------------------------------------------

    def layout(self, bin_um: int = 8) -> Layout:
        """All measured places, on and off tissue; `bin_um` is for Visium HD."""
        if self.kind == "visium":
            return hex_layout(self.size_um, self.seed)
        return st_layout(self.size_um) if self.kind == "st" else square_layout(self.size_um, bin_um)

    def on_tissue(self, layout: Layout) -> NDArray[np.bool_]:
        """Say which places have their centre on tissue (not in a lumen's light, which counts as tissue), (n,)."""
        return self.geometry.distance(*layout.xy_um.T) > 0

    def spots(self, bin_um: int = 8) -> AnnData:
        """Measure the section: counts and truth of the places on tissue.

        Returns
        -------
        AnnData with X raw counts (n, g) int32 sparse; `obs` array_row, array_col, domain (name) and domain_index,
        depth, tissue; `var` programme, family, from_image; `obsm["spatial"]` (n, 2) pixels, x before y,
        `obsm["factors"]` (n, r), `obsm["cell_types"]` (n, 9) shares that add up to 1 and, for spots,
        `obsm["cell_counts"]`, nuclei with their centre under the spot; `uns["phantom"]`.
        """
        layout = self.layout(bin_um)
        kept = self.on_tissue(layout)
        places = layout.take(kept)
        if self.kind == "visium_hd":
            counts, under = self.bin_counts(bin_um)[kept], self._bin_footprints(bin_um, kept)
            depth: Float = np.ones(len(places))
        else:
            under, depth = gather(self._factors, places), capture_depths(len(places), *self._key)
            scale = depth * under.tissue * np.pi * (places.size_um / 2) ** 2 * MOLECULES_PER_UM2
            counts = draw_counts(under.factors, self.programmes.loadings, scale, *self._key)
        domain = self.geometry.domain(*places.xy_um.T)
        obs = pd.DataFrame(
            {
                "array_row": places.array_row,
                "array_col": places.array_col,
                "domain": pd.Categorical(np.asarray(self.domain_names)[domain], categories=self.domain_names),
                "domain_index": domain.astype(int),
                "depth": depth,
                "tissue": under.tissue,
            },
            index=places.barcodes.astype(object),
        )
        spots = AnnData(X=counts, obs=obs, var=self.programmes.var.copy())
        spots.obsm["spatial"] = places.xy_um / self.mpp
        spots.obsm["factors"] = under.factors
        spots.obsm["cell_types"] = under.factors[:, : len(CELL_NAMES)]
        if self.kind != "visium_hd":
            spots.obsm["cell_counts"] = self._nuclei_under(places)
        spots.uns["phantom"] = {"factors": list(self.programmes.factors), "cell_types": list(CELL_NAMES)}
        return spots

    def bin_counts(self, bin_um: int) -> sparse.csr_matrix:
        """Draw the counts of all squares of Visium HD, on and off tissue, in `layout`'s order: (n, g) int32 sparse.

        Larger bins hold exactly what the 2 um bins in them hold.
        """
        return draw_bin_counts(self._factors, self.programmes.loadings, bin_um, *self._key)

    def _bin_footprints(self, bin_um: int, kept: NDArray[np.bool_]) -> Footprints:
        """Means of the factors over square bins, row by row of 512 um so that memory stays bounded."""
        rows = []
        width, height = (int(side // max(HD_BINS_UM)) * max(HD_BINS_UM) for side in self.size_um)
        for y in range(0, height, 512):
            part = self._factors.bins(0, y // 2, width // 2, min(512, height - y) // 2)
            rows.append([mean_bins(a, bin_um // 2) for a in (part[0], part[1][..., None])])
        factors, tissue = (
            np.concatenate(side).reshape(-1, side[0].shape[-1])[kept] for side in zip(*rows, strict=True)
        )
        return Footprints(factors / np.maximum(tissue, 1e-6), tissue[:, 0])

    def _nuclei_under(self, places: Layout) -> NDArray[np.int32]:
        from scipy.spatial import cKDTree

        counts = np.zeros((len(places), len(CELL_NAMES)), np.int32)
        tree = cKDTree(places.xy_um)
        for y in np.arange(0, self.size_um[1], 512.0):
            nuclei = self._cells.window(0, y, self.size_um[0], y + 512.0)
            _, spot = tree.query(nuclei.xy_um, distance_upper_bound=places.size_um / 2)
            under = spot < len(places)
            np.add.at(counts, (spot[under], nuclei.kind[under].astype(int)), 1)
        return counts

    # ---- parts -------------------------------------------------------------------------------------------------

    @property
    def _key(self) -> tuple[int | str, ...]:
        return (self.seed, "patient", self.patient, "section", self.section)

    @cached_property
    def _flow(self) -> SmoothField:
        return smooth_field(900.0, *self._key, "flow")

    @cached_property
    def _glands(self) -> GlandField:
        return make_glands(self.geometry, *self._key)

    @cached_property
    def _cells(self) -> CellField:
        size = float(np.exp(0.05 * np.clip(generator(self.seed, "patient", self.patient, "size").normal(), -1.5, 1.5)))
        return CellField(self.geometry, self._glands, self._flow, size, *self._key)

    @cached_property
    def _factors(self) -> FactorField:
        return make_factors(self.geometry, self._glands, self._cells, *self._key)


def make_phantom(
    seed: int = 0,
    *,
    kind: Kind = "visium",
    size_um: float | tuple[float, float] = 3200.0,
    mpp: float = 0.5,
    n_domains: int = 6,
    n_genes: int = 600,
    patient: int = 0,
) -> Phantom:
    """Make a synthetic section; the same arguments always give the same section, to the byte.

    Parameters
    ----------
    seed
        The biology: phantoms of one seed share genes and programmes.
    kind
        How it is measured: "visium" (hexagonal, pitch 100, spots of 55 um), "visium_hd" (squares of 2, 8, 16 um) or
        "st" (square, pitch 200, spots of 100 um).
    size_um
        Side of the picture, or (width, height).
    mpp
        Microns per pixel.
    n_domains
        Layers and one focal nest, 2 to 8.
    n_genes
        At least 40.
    patient
        Patients differ in map, nuclei, stain and levels of genes.

    Raises
    ------
    ConfigError
        Where an argument is out of range.

    Examples
    --------
    >>> from histoscribe import make_phantom
    >>> phantom = make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3)
    >>> phantom.image.read(0, 0, 256, 128, level=0).shape
    (128, 256, 3)
    >>> spots = phantom.spots()
    >>> spots.shape
    (110, 600)
    >>> spots.obs["domain"].value_counts().to_dict()
    {'loose_stroma': 54, 'solid_tumour': 35, 'nest': 21}
    """
    size = (
        (float(size_um), float(size_um)) if isinstance(size_um, int | float) else (float(size_um[0]), float(size_um[1]))
    )
    return Phantom(seed, kind, size, mpp, n_domains, n_genes, patient)


def cohort(n_patients: int, *, sections: int = 1, like: Phantom | None = None) -> Iterator[Phantom]:
    """Sections of several patients that share genes and programmes: P0S0, P0S1, ..., P1S0, ...

    Parameters
    ----------
    n_patients, sections
        Patients, and sections of each.
    like
        Phantom that gives all of them its seed, kind, size and numbers; the default phantom where None.
    """
    model = like or Phantom()
    for patient in range(n_patients):
        for section in range(sections):
            yield replace(model, patient=patient, section=section)


def _stain(seed: int, patient: int) -> Stain:
    """One patient's colours: strength and hue of each stain vary a little."""
    rng = generator(seed, "patient", patient, "stain")
    strength = np.exp(rng.normal(0, 0.09, 2))
    hues = np.exp(rng.normal(0, 0.05, (2, 3)))
    haematoxylin, eosin = strength[:, None] * hues * np.stack([_HAEMATOXYLIN, _EOSIN])
    return Stain(haematoxylin, eosin, white=rng.uniform(238, 246, 3))
