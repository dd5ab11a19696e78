"""The sections that are predicted from and on: read, checked, described by encoders, and recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from histoscribe.encoders import Card, Encoder, build_encoder
from histoscribe.encoders.stain import StainReference
from histoscribe.errors import ConfigError, HistoscribeError, InputError, listing
from histoscribe.expression.select import shared_genes
from histoscribe.io.reading import Request
from histoscribe.io.samplesheet import read_abundance_tables
from histoscribe.predict.splits import Fold
from histoscribe.run.cohort.files import SectionFiles, read_files
from histoscribe.run.cohort.observing import EMBEDDING, Seen, observe
from histoscribe.run.cohort.options import PredictOptions, read_options
from histoscribe.run.events import Listener
from histoscribe.run.identity import code_fingerprint, versions
from histoscribe.run.job import StagePlace
from histoscribe.run.requests import is_sheet, name_of, requests_of, written_reason
from histoscribe.run.several import require_all


def read_sections(path: Path, options: PredictOptions) -> tuple[list[SectionFiles], dict[str, str]]:
    """Read every section of a sample sheet that something was measured on.

    Returns
    -------
    The sections, and of those that were refused and left out the reason by name.

    Raises
    ------
    InputError
        Sections that are refused, or without what is to be predicted, unless `options.skip_refused`.
    """
    tables = read_abundance_tables(path) if is_sheet(path) else {}
    requests = requests_of(path, options)
    files, skipped = [], {}
    for request in requests:
        try:
            files.append(_measured_files(request, tables, options))
        except HistoscribeError as error:
            if len(requests) == 1:
                raise
            skipped[name_of(request)] = written_reason(str(error), request)
    if not options.skip_refused:
        require_all(skipped, len(requests), where=path, why="the scores mean something else")
    if options.target == "abundance":
        # the test slides of a challenge file: nothing was measured on them
        files = [one for one in files if one.measured is None or not _is_challenge_test(one)]
    else:
        files = _missing_genes_named(files)
    return files, skipped


def _missing_genes_named(files: Sequence[SectionFiles]) -> list[SectionFiles]:
    """Note of each section which genes of the others it lacks; raises InputError where the sections share none."""
    counted = [one.measured for one in files if one.measured is not None and one.measured.genes]
    if len(counted) < 2:
        return list(files)
    shared_genes(counted)
    every = sorted(set().union(*(measured.genes for measured in counted)))
    named = []
    for one in files:
        own = set(one.measured.genes) if one.measured is not None else set(every)
        lacking = [gene for gene in every if gene not in own]
        note = (
            f"{len(lacking):,} of the {len(every):,} genes of all sections were not measured here "
            f"({listing(lacking, 3)}): they are not learnt where this section trains, and have no score on it"
        )
        named.append(replace(one, notes=(*one.notes, note)) if lacking else one)
    return named


def _measured_files(request: Request, tables: Mapping[str, Path], options: PredictOptions) -> SectionFiles:
    """Read one section and require of it what is to be predicted."""
    one = read_files(request, options, abundance=tables.get(request.section or ""))
    measured = one.measured
    if options.target == "genes" and measured is not None:
        measured.require_counts()
    # a challenge file holds test slides, on which nothing was measured; they are left out by the caller
    if (
        options.target == "abundance"
        and (measured is None or measured.abundance is None)
        and not _is_challenge_test(one)
    ):
        raise InputError(
            "this section has no table of cell types",
            where=f"section {one.name!r}",
            expected="abundances in its own file, or a table by barcode in the sheet's column `abundance`",
            fix="add the column, or choose genes as the target",
        )
    return one


def _is_challenge_test(one: SectionFiles) -> bool:
    return one.inputs["format"] == "challenge_h5" and one.measured is not None and one.measured.abundance is None


def notes_of(files: Sequence[SectionFiles]) -> tuple[str, ...]:
    """Return what was decided in reading the sections, each sentence with its section's name."""
    return tuple(f"{one.name}: {note}" for one in files for note in one.notes)


def all_counted(files: Sequence[SectionFiles]) -> bool:
    """Whether genes were counted on every section, so that depths are known."""
    return all(one.measured is not None and one.measured.counts is not None for one in files)


def options_of(options: PredictOptions | Path | None) -> PredictOptions:
    """Return the options that are given, as they are or in a file, or the defaults."""
    if options is None:
        return PredictOptions()
    return options if isinstance(options, PredictOptions) else read_options(Path(options))


def several_names(names: Sequence[str | Path] | None) -> tuple[str, ...] | None:
    """One name is as good as a list of one."""
    return ((names,) if isinstance(names, str) else tuple(str(name) for name in names)) if names else None


def build_encoders(cards: Sequence[Card], options: PredictOptions) -> list[Encoder]:
    """Build encoders that can stand side by side.

    Raises
    ------
    ConfigError
        Two of one name: their blocks could not be distinguished.
    """
    names = [card.name for card in cards]
    if len(set(names)) < len(names):
        raise ConfigError("two encoders bear one name", where="encoders", found=names, fix="give each card its own")
    return [build_encoder(card, device=options.device, precision=options.precision) for card in cards]


def sharpest(encoders: Sequence[Encoder]) -> int:
    """Pixels across the tiles of the encoder that sees most."""
    return max(encoder.card.input_px for encoder in encoders)


def record_of(
    options: PredictOptions, encoders: Sequence[Encoder], files: Sequence[SectionFiles], skipped: Mapping[str, str]
) -> dict[str, Any]:
    """Describe the work for run.json and the page: it holds no time and no path of this computer."""
    return {
        "versions": versions(),
        "code": code_fingerprint(),
        "configuration": options.record(),
        "seed": options.seed,
        "encoder": {encoder.card.name: encoder.card.to_dict() for encoder in encoders},
        "inputs": [one.inputs for one in files],
        **({"skipped": dict(skipped)} if skipped else {}),
    }


@dataclass(frozen=True, slots=True)
class Observers:
    """Sees all sections, once for every section that gives them its colours; kept for the folds that share it."""

    files: Sequence[SectionFiles]
    draft: StagePlace
    encoders: Sequence[Encoder]
    options: PredictOptions
    listen: Listener
    _seen: dict[str | None, dict[str, Seen]] = field(default_factory=dict)

    def for_fold(self, fold: Fold) -> dict[str, Seen]:
        """See them as a fold may: the stain reference is its first training section."""
        return self.coloured_as(None if self.options.stain == "none" else fold.train[0])

    def reference(self, name: str | None) -> StainReference | None:
        """Fit the stain reference on the section of this name."""
        if name is None:
            return None
        section = next(one for one in self.files if one.name == name).open()
        return StainReference.fit(section, self.options.stain, tile_um=min(self.options.tile_um))

    def coloured_as(self, name: str | None) -> dict[str, Seen]:
        """See all sections in the colours of the one of this name, or as they are."""
        if name not in self._seen:
            pixels, stain = self.options.takes_pixels(self.options.heads), self.reference(name)
            self._seen[name] = {
                one.name: observe(
                    one, self.draft, self.encoders, options=self.options, pixels=pixels, listen=self.listen, stain=stain
                )
                for one in self.files
            }
        return self._seen[name]


def drop_embeddings(folder: Path) -> None:
    """Delete what only served to make the rest: neither a model nor a prediction is read from it."""
    for embedding in folder.glob(f"{EMBEDDING}*"):
        rmtree(embedding)
