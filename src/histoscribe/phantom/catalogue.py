"""What a phantom is made of: its cell types, and the kinds of tissue in which they live.

The figures are those of a cartoon, chosen so that within a colour group the kinds of tissue have about the same mean
haematoxylin and eosin and differ in the size, shape, density and arrangement of nuclei and by texture.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellType:
    """How the nuclei of one cell type look.

    Parameters
    ----------
    radius_um
        Geometric mean of the half axes.
    spread
        Coefficient of variation of the radius.
    elongation
        Long over short axis.
    wobble
        How irregular the outline is, as a share of the radius.
    haematoxylin
        Optical amount of haematoxylin in the nucleus.
    clumps
        Coarse chromatin: its relative amplitude.
    rim
        How much darker the rim is than the middle (vesicular nuclei).
    nucleolus
        Extra haematoxylin of a nucleolus.
    alignment
        1: along the fibres (or across a gland's wall), 0: any direction.
    """

    name: str
    radius_um: float
    spread: float
    elongation: float
    wobble: float
    haematoxylin: float
    clumps: float
    rim: float
    nucleolus: float
    alignment: float


CELL_TYPES = (
    CellType("fibroblast", 2.7, 0.14, 2.7, 0.05, 1.15, 0.10, 0.00, 0.0, 0.75),
    CellType("smooth_muscle", 2.9, 0.10, 4.2, 0.02, 1.00, 0.08, 0.10, 0.0, 0.97),
    CellType("lymphocyte", 2.9, 0.08, 1.08, 0.03, 1.60, 0.22, 0.00, 0.0, 0.0),
    CellType("plasma_cell", 3.3, 0.10, 1.20, 0.03, 1.40, 0.45, 0.25, 0.0, 0.0),
    CellType("macrophage", 3.9, 0.14, 1.50, 0.08, 0.90, 0.15, 0.20, 0.3, 0.0),
    CellType("solid_tumour", 5.2, 0.17, 1.25, 0.055, 1.00, 0.20, 0.45, 0.8, 0.1),
    CellType("nest_tumour", 4.0, 0.08, 1.12, 0.03, 1.20, 0.12, 0.15, 0.0, 0.0),
    CellType("gland_epithelium", 3.7, 0.09, 1.75, 0.04, 1.25, 0.14, 0.10, 0.2, 0.95),
    CellType("endothelium", 2.3, 0.12, 3.2, 0.04, 1.35, 0.08, 0.00, 0.0, 0.6),
)
CELL_NAMES = tuple(cell.name for cell in CELL_TYPES)


@dataclass(frozen=True, slots=True)
class Tissue:
    """One kind of tissue, the look of a domain.

    Parameters
    ----------
    densities
        Cells wanted per mm2 by type; crowding makes it somewhat fewer.
    haematoxylin, eosin
        Optical amounts between the nuclei.
    fine_fibres, coarse_fibres, grain
        Relative amplitudes of three textures of the matrix.
    clefts
        Share of fibre valleys that open into white clefts.
    gland_pitch_um
        Mean distance of glands, 0 for none; then `densities` are those between the glands.
    """

    name: str
    densities: dict[str, float]
    haematoxylin: float
    eosin: float
    fine_fibres: float
    coarse_fibres: float
    grain: float
    clefts: float = 0.0
    gland_pitch_um: float = 0.0


# in the order in which they are taken as layers; the last one is always the focal nest
LAYERS = (
    Tissue(
        "loose_stroma",
        {"fibroblast": 1500, "endothelium": 250, "macrophage": 120, "lymphocyte": 150},
        haematoxylin=0.17,
        eosin=0.50,
        fine_fibres=0.27,
        coarse_fibres=0.0,
        grain=0.08,
        clefts=0.75,
    ),
    Tissue(
        "solid_tumour",
        {"solid_tumour": 6000, "lymphocyte": 250, "endothelium": 120},
        haematoxylin=0.28,
        eosin=0.48,
        fine_fibres=0.0,
        coarse_fibres=0.0,
        grain=0.12,
    ),
    Tissue(
        "muscle",
        {"smooth_muscle": 1500, "endothelium": 200, "fibroblast": 150},
        haematoxylin=0.17,
        eosin=0.50,
        fine_fibres=0.0,
        coarse_fibres=0.24,
        grain=0.05,
        clefts=0.35,
    ),
    Tissue(
        "lymphoid",
        {"lymphocyte": 24000, "macrophage": 350, "endothelium": 150},
        haematoxylin=0.14,
        eosin=0.40,
        fine_fibres=0.06,
        coarse_fibres=0.0,
        grain=0.10,
    ),
    Tissue(
        "glandular",
        {"fibroblast": 1200, "endothelium": 250, "plasma_cell": 700},
        haematoxylin=0.17,
        eosin=0.50,
        fine_fibres=0.25,
        coarse_fibres=0.0,
        grain=0.08,
        clefts=0.6,
        gland_pitch_um=92.0,
    ),
    Tissue(
        "plasma_fibrosis",
        {"plasma_cell": 2400, "fibroblast": 700, "macrophage": 300},
        haematoxylin=0.17,
        eosin=0.50,
        fine_fibres=0.15,
        coarse_fibres=0.12,
        grain=0.10,
    ),
    Tissue(
        "histiocytic",
        {"macrophage": 4200, "lymphocyte": 500},
        haematoxylin=0.24,
        eosin=0.42,
        fine_fibres=0.0,
        coarse_fibres=0.0,
        grain=0.25,
    ),
)
NEST = Tissue(
    "nest",
    {"nest_tumour": 11000, "macrophage": 80},
    haematoxylin=0.20,
    eosin=0.42,
    fine_fibres=0.0,
    coarse_fibres=0.0,
    grain=0.10,
)
MAX_DOMAINS = len(LAYERS) + 1

# the wall of a gland: a single row of cells around a lumen
GLAND_WALL_UM = 13.0
GLAND_LUMEN_UM = (12.0, 26.0)
WALL = Tissue(
    "gland_wall",
    {"gland_epithelium": 34000},
    haematoxylin=0.22,
    eosin=0.46,
    fine_fibres=0.0,
    coarse_fibres=0.0,
    grain=0.12,
)


def tissues(n_domains: int) -> tuple[Tissue, ...]:
    """Return the kinds of tissue of a section with so many domains; the index is the domain's number."""
    return (*LAYERS[: n_domains - 1], NEST)
