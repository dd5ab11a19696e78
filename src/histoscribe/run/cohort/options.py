"""Settings of an evaluation or a model, in one place, with their defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_type_hints

from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.predict import HEADS
from histoscribe.predict.context import Context
from histoscribe.predict.evaluate import BASELINES, FoldSettings
from histoscribe.predict.fitting import make_head, with_preset
from histoscribe.predict.stack import make_stack
from histoscribe.run.requests import ReadOptions
from histoscribe.run.settings import PATH, Settings, fits, plain, read_settings, refuse_unused, said
from histoscribe.store.received import read_received

TARGETS = ("genes", "abundance")
STAINS = ("none", "macenko", "reinhard")
RULES = ("auto", "patient", "section", "blocks")
OFF_TISSUE = ("keep", "drop", "flag")
BACKGROUNDS = ("keep", "white")
ENSEMBLES = ("none", "folds")


@dataclass(frozen=True, slots=True)
class SeenSettings(Settings):
    """How the tiles of a section are turned into numbers by an encoder.

    Parameters
    ----------
    tile_um, mpp, device, precision, background
        As of `PredictOptions`.
    without_off_tissue
        Whether spots off the tissue are left out.
    """

    tile_um: tuple[float, ...]
    mpp: float | None
    device: str
    precision: str
    background: str
    without_off_tissue: bool


@dataclass(frozen=True, slots=True)
class PredictOptions(ReadOptions):
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
        "section": features are standardised within each section, which takes out the scanner's and the stain's colour,
        but every slide is then predicted about the same mean; "none": as the encoder gave them, so that heads
        standardise them against the training slides, and colour counts.
    stain
        "none", "macenko" or "reinhard": give every section the colours of the first training section. In an evaluation
        each fold has its own; the audit names it.
    off_tissue
        What becomes of spots that lie off the tissue of the picture: "keep" them like any other, "drop" them from
        training, scores and predictions, or "flag" them in the tables.
    background
        "keep", or "white": what lies off a section's own tissue becomes white in all tiles, before the stain is
        normalised. A model does with off_tissue, background and align to a new slide what was done to its training.
    mpp
        Bring every section to so many microns per pixel first; needed where sections were scanned at different scales.
    pixel_tile_um
        Side of the tiles for heads that take pixels, in microns.
    pixel_px
        Side of the same tiles in pixels.
    level
        Share of measurements that intervals are to hold.
    device
        Where the encoder computes: "auto", "cpu" or "cuda".
    precision
        Of the encoder: "auto", "float32" or "bfloat16".
    seed
        Of everything random.
    stacks
        How an evaluation combines several heads, beside their plain mean: "ridge", "mlp" or both.
    skip_refused
        Leave refused sections out and say so, instead of refusing all: without them the scores mean something else.
    ensemble
        Of a model: "none", one fit on all sections; or "folds", one without each patient, or what `by` holds out,
        and the mean of their predictions, of ranks within the spot where ranks are predicted.
    head_options
        Options of heads by name, for instance {"ridge": {"components": 128}}. `preset` = "published" gives "finetune"
        and "multiscale_pixels" the settings of the published systems; what is given beside it wins.

    Examples
    --------
    >>> import histoscribe as hs
    >>> options = hs.PredictOptions(encoders=("morphology",), tile_um=(112.0,), heads=("ridge", "lowrank"))
    >>> options.updated(by="section", n_genes=50).n_genes
    50
    >>> hs.PredictOptions(heads=("rigde",))
    Traceback (most recent call last):
        ...
    histoscribe.errors.ConfigError: there is no head called 'rigde'
      to fix it: did you mean ridge?
    """

    target: Literal["genes", "abundance"] = "genes"
    heads: tuple[str, ...] = ("knn", "ridge", "lowrank")
    by: Literal["auto", "patient", "section", "blocks"] = "auto"
    genes: str = field(default="abundant", metadata=PATH)
    n_genes: int = 250
    scale: Literal["log1p_cp10k", "log10_panel"] = "log1p_cp10k"
    ranks: bool = True
    encoders: tuple[str, ...] = field(default=("efficientnet_b0",), metadata=PATH)
    tile_um: tuple[float, ...] = (112.0, 224.0, 448.0)
    neighbours: bool = True
    standardise: Literal["section", "none"] = "section"
    stain: Literal["none", "macenko", "reinhard"] = "none"
    off_tissue: Literal["keep", "drop", "flag"] = "keep"
    background: Literal["keep", "white"] = "keep"
    mpp: float | None = None
    pixel_tile_um: float = 300.0
    pixel_px: int = 78
    level: float = 0.9
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    stacks: tuple[str, ...] = ("ridge",)
    skip_refused: bool = False
    ensemble: Literal["none", "folds"] = "none"
    head_options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be, before any file is read."""
        for name, value, known in (
            ("target", self.target, TARGETS),
            ("by", self.by, RULES),
            ("stain", self.stain, STAINS),
            ("off_tissue", self.off_tissue, OFF_TISSUE),
            ("background", self.background, BACKGROUNDS),
            ("ensemble", self.ensemble, ENSEMBLES),
        ):
            if value not in known:
                raise ConfigError(f"there is no {name} {value!r}", where=name, fix=nearest(str(value), known))
        for stack in self.stacks:
            make_stack(stack, seed=0)
        for head in (*self.heads, *self.head_options):
            HEADS.get(head)
        if self.by == "blocks" and self.stain != "none":
            raise ConfigError("the blocks of one section have one stain", where="stain", fix="leave stain at none")
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

    def of_tiles(self) -> "SeenSettings":
        """Return what the embeddings of a section depend on."""
        return SeenSettings(
            self.tile_um, self.mpp, self.device, self.precision, self.background, self.off_tissue == "drop"
        )

    def context(self) -> Context:
        """Which feature blocks are made."""
        return Context(
            tile_um=tuple(float(side) for side in self.tile_um),
            neighbours=self.neighbours,
            standardise=self.standardise,
        )

    def refuse_unused(self, *, command: str, also: Mapping[str, str] | None = None) -> None:
        """Refuse options that a head does not have, and settings that this work does not use.

        Raises
        ------
        ConfigError
            Options of heads that are not theirs or cannot be; settings of the other target, of pixels where no head
            learns from them, or of stacks where there is one head.
        """
        if self.target == "genes":
            unused = {"ranks": "genes are predicted, and no cell types"}
        else:
            unused = dict.fromkeys(("genes", "n_genes", "scale"), "cell types are predicted, and no genes")
        if self.stacks and sum(name not in BASELINES for name in self.heads) < 2:
            unused["stacks"] = "a single head is not combined with others"
        if not self.takes_pixels(self.heads):
            unused |= dict.fromkeys(("pixel_tile_um", "pixel_px"), "none of the heads learns from pixels")
        strangers = {f"head_options.{name}" for name in self.head_options if name not in self.heads}
        if strangers:
            raise ConfigError(
                "options of heads that are not asked for",
                where="configuration",
                found=listing(sorted(strangers)),
                fix="leave them out, or name these heads with --heads or --head",
            )
        refuse_unused(self, unused | dict(also or {}), command=command)
        for head, given in self.head_options.items():
            side = with_preset(head, given).get("tile_px", 0)
            if "preset" in given and side > self.pixel_px:
                raise ConfigError(
                    f"the preset {given['preset']!r} of {head} sees tiles of {side} pixels, and smaller ones are cut",
                    where="pixel_px",
                    expected=f"{side} or more",
                    found=self.pixel_px,
                    fix=f"give pixel_px = {side} too, or tile_px = {self.pixel_px} beside the preset",
                )

    def takes_pixels(self, heads: tuple[str, ...]) -> bool:
        """Whether any of these heads, with its options, learns from pixels; raises ConfigError for wrong options."""
        for head in heads:
            _check_types(head, self.head_options.get(head, {}))
        return any(make_head(head, self.head_options.get(head)).needs_tiles for head in heads)

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


def _check_types(head: str, given: Mapping[str, Any]) -> None:
    """Refuse options of a head, or of the heads in it, that are not of their kind; unknown names are `make_head`'s."""
    hints = get_type_hints(HEADS.get(head).__init__)
    wrong = [name for name, value in given.items() if not fits(plain(value), hints.get(name, Any))]
    if wrong:
        raise ConfigError(
            f"options of the head {head!r} are not of the right kind",
            where=f"head_options.{head}",
            expected="; ".join(f"{name}: {said(hints[name])}" for name in wrong),
            found="; ".join(f"{name} = {given[name]!r}" for name in wrong),
        )
    for member, theirs in (given.get("options") or {}).items():
        _check_types(member, theirs)


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
        text = read_received(path, cost=4).decode("utf-8-sig")
    except (InputError, UnicodeDecodeError) as error:
        raise ConfigError(
            "genes are neither chosen by a known rule nor listed in a file that can be read",
            where="genes",
            expected='"abundant", "variable" or the path of a text file with one gene per line',
            found=f"{genes} ({error.problem if isinstance(error, InputError) else error})",
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
    return read_settings(path, PredictOptions)
