"""What an evaluation or a model can be told, in one place, with its defaults; read from TOML and recorded."""

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from histoscribe.errors import ConfigError, nearest
from histoscribe.predict import HEADS
from histoscribe.predict.context import Context
from histoscribe.predict.evaluate import BASELINES, FoldSettings
from histoscribe.predict.stack import make_stack

TARGETS = ("genes", "abundance")
STAINS = ("none", "macenko", "reinhard")
RULES = ("auto", "patient", "section", "blocks")


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """Options of `evaluate` and `fit`.

    Parameters
    ----------
    target
        "genes" or "abundance" (cell types).
    heads
        Heads to evaluate, by name; the baselines are always added. `fit` takes its one head apart.
    by
        What is held out: "auto" and "patient" one patient, "section" one section, "blocks" parts of a single section.
        The last two are marked LEAKY unless every section is its own patient.
    genes
        "abundant", "variable", or the path of a file with one gene's name per line.
    n_genes
        How many genes are chosen.
    scale
        "log1p_cp10k" or "log10_panel".
    ranks
        Whether cell types are predicted as ranks within the spot.
    encoders
        Names of encoders or paths of cards; spots are described by all of them side by side. A new slide is compared
        with the training slides by the first.
    tile_um
        Sides of the tiles that describe a spot, in microns.
    neighbours
        Whether the mean of the neighbouring spots' tiles is a feature.
    standardise
        "section": features are standardised within each section; "none".
    stain
        "none", "macenko" or "reinhard": give every section the colours of the first training section. In an evaluation
        each fold has its own; the audit names it.
    mpp
        Bring every section to so many microns per pixel first; needed where sections were scanned at different scales.
    pixel_tile_um, pixel_px
        Side of the tiles for heads that take pixels, in microns and in pixels.
    level
        Share of measurements that intervals are to hold.
    device, precision
        Of the encoder: "auto", "cpu", "cuda"; "auto", "float32", "bfloat16".
    seed
        Of everything random.
    stacks
        How an evaluation combines several heads, beside their plain mean: "ridge", "mlp" or both.
    head_options
        Options of heads by name, for instance {"ridge": {"components": 128}}.
    """

    target: Literal["genes", "abundance"] = "genes"
    heads: tuple[str, ...] = ("knn", "ridge", "lowrank")
    by: Literal["auto", "patient", "section", "blocks"] = "auto"
    genes: str = "abundant"
    n_genes: int = 250
    scale: Literal["log1p_cp10k", "log10_panel"] = "log1p_cp10k"
    ranks: bool = True
    encoders: tuple[str, ...] = ("efficientnet_b0",)
    tile_um: tuple[float, ...] = (112.0, 224.0, 448.0)
    neighbours: bool = True
    standardise: Literal["section", "none"] = "section"
    stain: Literal["none", "macenko", "reinhard"] = "none"
    mpp: float | None = None
    pixel_tile_um: float = 300.0
    pixel_px: int = 78
    level: float = 0.9
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    stacks: tuple[str, ...] = ("ridge",)
    head_options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be, before any file is read."""
        for name, value, known in (
            ("target", self.target, TARGETS),
            ("by", self.by, RULES),
            ("stain", self.stain, STAINS),
        ):
            if value not in known:
                raise ConfigError(f"there is no {name} {value!r}", where=name, mend=nearest(str(value), known))
        for stack in self.stacks:
            make_stack(stack, seed=0)
        for head in (*self.heads, *self.head_options):
            HEADS.get(head)
        if self.by == "blocks" and self.stain != "none":
            raise ConfigError("the blocks of one section have one stain", where="stain", mend="leave stain at none")
        if not self.encoders or len(set(self.encoders)) < len(self.encoders):
            raise ConfigError("at least one encoder is needed, and none twice", where="encoders", found=self.encoders)
        if self.mpp is not None and not self.mpp > 0:
            raise ConfigError("microns per pixel must be positive", where="mpp", found=self.mpp)
        if not 0 < self.level < 1:
            raise ConfigError("the level of intervals is a share", where="level", found=self.level)
        if self.seed < 0:
            raise ConfigError("the seed must not be negative", where="seed", found=self.seed)
        if not (self.pixel_tile_um > 0 and self.pixel_px > 0):
            raise ConfigError("the tiles' side must be positive", where="pixel_tile_um, pixel_px")
        self.context()

    def context(self) -> Context:
        """Which feature blocks are made."""
        return Context(
            tile_um=tuple(float(side) for side in self.tile_um),
            neighbours=self.neighbours,
            standardise=self.standardise,
        )

    def record(self) -> dict[str, Any]:
        """Return plain values, fit for JSON; of a path its name only."""
        values = asdict(self) | {"heads": list(self.heads), "tile_um": [float(side) for side in self.tile_um]}
        if self.genes not in ("abundant", "variable"):
            values["genes"] = Path(self.genes).name
        return values | {"encoders": [Path(name).stem if name.endswith(".toml") else name for name in self.encoders]}

    def updated(self, **given: Any) -> "PredictOptions":
        """Return a copy in which every value of `given` that is not None replaces the present one."""
        return replace(self, **{key: value for key, value in given.items() if value is not None})

    def takes_pixels(self, heads: tuple[str, ...]) -> bool:
        """Whether any of these heads learns from pixels."""
        return any(HEADS.get(head).takes == "tiles" for head in heads)

    def fold_settings(self, heads: tuple[str, ...], *, with_depth: bool) -> FoldSettings:
        """Return what a fold has to know, baselines first.

        Raises
        ------
        ConfigError
            A file of genes that cannot be read or is empty.
        """
        baselines = BASELINES if with_depth else BASELINES[:1]
        every = tuple(dict.fromkeys((*baselines, *heads)))
        if self.target == "abundance":
            chosen: dict[str, Any] = {"ranks": self.ranks}
        else:
            chosen = {"genes": genes_of(self.genes), "n_genes": self.n_genes, "scale": self.scale}
        return FoldSettings(self.target, chosen, every, self.head_options, self.level, self.seed, self.stacks)


def genes_of(genes: str) -> str | list[str]:
    """Return "abundant" or "variable" as it is, or the names that a file lists, one per line.

    Raises
    ------
    ConfigError
        Neither of the words, and no file that can be read.
    """
    if genes in ("abundant", "variable"):
        return genes
    path = Path(genes)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "genes are neither chosen by a known rule nor listed in a file that can be read",
            where="genes",
            expected='"abundant", "variable" or the path of a text file with one gene per line',
            found=f"{genes} ({error})",
        ) from error
    names = [line.split(",")[0].split("\t")[0].strip() for line in text.splitlines()]
    return [name for name in dict.fromkeys(names) if name]


def read_options(path: Path) -> PredictOptions:
    """Read a TOML file: the names of `PredictOptions` at the top level, options of heads as tables [head_options.NAME].

    Raises
    ------
    ConfigError
        A file that cannot be read, or a name or type that is not of the options.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot be read ({error})", where=path, expected="a TOML file in UTF-8") from error
    defaults = PredictOptions()
    known = {item.name for item in fields(PredictOptions)}
    problems = []
    for key, value in given.items():
        if key not in known:
            problems.append(f"{key!r} is not an option; {nearest(key, known)}")
        elif not _fits(value, getattr(defaults, key)):
            problems.append(f"{key} = {value!r} has the wrong type")
    if problems:
        raise ConfigError("; ".join(problems), where=path)
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
    return replace(defaults, **values)


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, list) and all(isinstance(part, str | int | float) for part in value)
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if default is None or isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
