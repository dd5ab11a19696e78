"""Expected expression anywhere: a few factors in space (what lives there) times loadings on genes (what it makes).

Factors come in families, and within each family they add up to 1 everywhere in tissue: the shares of the cell types
around a place, the domain, a gradient and its opposite, hidden patches and their opposites, and a constant. The
families' loadings are balanced, so the expected number of molecules per um2 of tissue is the same everywhere: how many
molecules a spot holds says nothing about the picture, and genes of the hidden families stay independent of the picture
after any normalisation by library size.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from histoscribe.phantom.catalogue import CELL_NAMES
from histoscribe.phantom.cells import CellField
from histoscribe.phantom.geometry import GLASS, Geometry
from histoscribe.phantom.glands import GlandField
from histoscribe.phantom.randomness import Float, SmoothField, generator, smooth_field

FINE_UM = 2.0
_TERRITORY_UM = 5.0  # standard deviation of the reach of a cell's transcripts
_MARGIN_BINS = 12
_HIDDEN_FIELDS = 3
_FOLD = 8.0  # a marker in its own programme over elsewhere
# share of genes and of molecules per family; the first two can be seen in the picture
FAMILIES = {"cell_type": 0.30, "domain": 0.18, "gradient": 0.08, "hidden": 0.20, "constant": 0.24}
VISIBLE = ("cell_type", "domain")
# the types that make up a tissue have markers; a few scattered cells would not show in a spot's picture
MARKED_TYPES = ("fibroblast", "smooth_muscle", "lymphocyte", "solid_tumour", "nest_tumour", "gland_epithelium")


@dataclass(frozen=True, slots=True, eq=False)
class Programmes:
    """Genes and what drives them in one patient.

    Parameters
    ----------
    factors
        (r,) names: "cell_type:lymphocyte", "domain:nest", "gradient:up", "hidden:0:down", "constant".
    loadings
        (r, g) expected share of a gene in the molecules of a place where the factor is 1; sums over each family's
        factors and genes to the family's share.
    var
        Table of genes: `programme` (the factor that raises it most), `family`, `from_image`.
    """

    factors: tuple[str, ...]
    loadings: Float
    var: pd.DataFrame


def make_programmes(n_genes: int, domain_names: tuple[str, ...], seed: int, patient: int) -> Programmes:
    """Draw the loadings: genes and programmes belong to the seed; the patient shifts each gene's level a little."""
    names = {
        "cell_type": [f"cell_type:{name}" for name in CELL_NAMES],
        "domain": [f"domain:{name}" for name in domain_names],
        "gradient": ["gradient:up", "gradient:down"],
        "hidden": [f"hidden:{k}:{end}" for k in range(_HIDDEN_FIELDS) for end in ("up", "down")],
        "constant": ["constant"],
    }
    rng, own = generator(seed, "programmes"), generator(seed, "patient", patient, "expression")
    family = np.repeat(list(FAMILIES), _whole_shares(n_genes))
    loadings = np.zeros((sum(map(len, names.values())), n_genes))
    programme = np.empty(n_genes, object)
    row = 0
    for kind, factors in names.items():
        genes = np.flatnonzero(family == kind)
        level = rng.lognormal(0, 0.9, len(genes)) * own.lognormal(0, 0.25, len(genes))
        markers = [k for k, name in enumerate(factors) if kind != "cell_type" or name.split(":")[1] in MARKED_TYPES]
        marked = np.resize(markers, len(genes))
        fold = np.exp(rng.normal(0, 0.10, (len(factors), len(genes))))
        fold[marked, np.arange(len(genes))] *= _FOLD if len(factors) > 1 else 1.0
        block = level * fold
        block *= FAMILIES[kind] / np.maximum(block.sum(axis=1, keepdims=True), 1e-12)
        loadings[row : row + len(factors), genes] = block / (_HIDDEN_FIELDS if kind == "hidden" else 1)
        programme[genes] = np.array(factors)[marked]
        row += len(factors)
    order = rng.permutation(n_genes)
    index = pd.Index([f"GENE{k:05d}" for k in range(n_genes)])
    var = pd.DataFrame({"programme": programme[order], "family": family[order]}, index=index)
    var["from_image"] = var["family"].isin(VISIBLE)
    return Programmes(tuple(name for group in names.values() for name in group), loadings[:, order], var)


def _whole_shares(n_genes: int) -> NDArray[np.int64]:
    """Numbers of genes per family, at least one each."""
    edges = np.round(np.cumsum([0.0, *FAMILIES.values()]) / sum(FAMILIES.values()) * n_genes).astype(int)
    return np.diff(edges)


@dataclass(frozen=True, slots=True)
class FactorField:
    """Factors of one section on its grid of 2 um bins.

    Parameters
    ----------
    geometry, glands, cells
        The section's map and nuclei.
    gradient
        Direction (x, y) of the gradient.
    hidden
        Fields that nothing in the picture shows.
    """

    geometry: Geometry
    glands: GlandField
    cells: CellField
    gradient: tuple[float, float]
    hidden: tuple[SmoothField, ...]

    def bins(self, column: int, row: int, columns: int, rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Factors and tissue of a window of 2 um bins.

        Returns
        -------
        (rows, columns, r) float32 factors, zero off tissue, and (rows, columns) float32 tissue, 0 or 1.
        """
        x = (np.arange(column, column + columns) + 0.5)[None, :] * FINE_UM
        y = (np.arange(row, row + rows) + 0.5)[:, None] * FINE_UM
        glands = self.glands.near(x.min(), y.min(), x.max(), y.max())
        lumen, _ = glands.lumen_distance(x, y)
        domain = self.geometry.domain(x, y)
        tissue = (domain != GLASS) & (lumen > 0)
        parts: list[NDArray[np.generic]] = [self._territories(column, row, columns, rows)]
        parts.append((domain[..., None] == np.arange(self.geometry.n_domains)).astype(np.float32))
        small = min(self.geometry.size_um)
        slope = self.gradient[0] * (x / small - 0.5) + self.gradient[1] * (y / small - 0.5)
        up = [np.clip(0.5 + slope, 0, 1), *(0.5 + 0.5 * np.tanh(1.5 * field(x, y)) for field in self.hidden)]
        parts.extend(np.stack([part, 1 - part], axis=-1) for part in up)
        parts.append(np.ones((rows, columns, 1)))
        factors = np.concatenate(parts, axis=-1, dtype=np.float32)
        factors *= tissue[..., None]
        return factors, tissue.astype(np.float32)

    def _territories(self, column: int, row: int, columns: int, rows: int) -> NDArray[np.float32]:
        """Share of each cell type in the transcripts at each bin: nearby cells, by a Gaussian of their distance."""
        m = _MARGIN_BINS
        x0, y0 = (column - m) * FINE_UM, (row - m) * FINE_UM
        width, height = columns + 2 * m, rows + 2 * m
        nuclei = self.cells.window(x0, y0, x0 + width * FINE_UM, y0 + height * FINE_UM)
        bx, by = (((nuclei.xy_um - (x0, y0)) / FINE_UM).astype(int)).T
        n_types = len(CELL_NAMES)
        flat = (nuclei.kind.astype(int) * height + by) * width + bx
        counts = np.bincount(flat, minlength=n_types * height * width).reshape(n_types, height, width)
        near = np.empty((n_types, rows, columns), np.float32)
        sd = _TERRITORY_UM / FINE_UM
        for kind in range(n_types):
            spread = ndimage.gaussian_filter(counts[kind].astype(np.float32), sd, mode="constant", truncate=m / sd)
            near[kind] = spread[m:-m, m:-m]
        near[0] += 1e-6  # where no cell is near, the matrix is a fibroblast's
        shares: NDArray[np.float32] = np.moveaxis(near / near.sum(axis=0), 0, -1)
        return shares


def make_factors(geometry: Geometry, glands: GlandField, cells: CellField, *key: int | str) -> FactorField:
    """Factors of one section; the hidden ones are drawn anew for every section."""
    rng = generator(*key, "gradient")
    side = rng.choice([-1.0, 1.0])  # along the layers, so that no domain stands at one end
    along = (side * geometry.direction[0], side * geometry.direction[1])
    wavelength = 0.25 * min(geometry.size_um)
    hidden = tuple(smooth_field(wavelength, *key, "hidden", k) for k in range(_HIDDEN_FIELDS))
    return FactorField(geometry, glands, cells, along, hidden)
