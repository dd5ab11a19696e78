"""histoscribe reads what an H&E-stained tissue section says about its genes.

The public names are imported when first used, so that `import histoscribe` is quick and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from histoscribe._version import __version__

if TYPE_CHECKING:
    from histoscribe.api import pl as pl
    from histoscribe.api import pp as pp
    from histoscribe.api import tl as tl
    from histoscribe.errors import HistoscribeError as HistoscribeError
    from histoscribe.io import read_section as read_section
    from histoscribe.io.formats import read_spatialdata as read
    from histoscribe.io.preflight import preflight as preflight
    from histoscribe.maps.read import read_maps as read_maps
    from histoscribe.phantom import make_phantom as make_phantom
    from histoscribe.run.cohort.evaluate import evaluate as evaluate
    from histoscribe.run.cohort.fit import fit as fit_model
    from histoscribe.run.cohort.options import PredictOptions as PredictOptions
    from histoscribe.run.cohort.predict import predict as predict_slides
    from histoscribe.run.demo import demo as demo
    from histoscribe.run.doctor import doctor as doctor
    from histoscribe.run.domains import domains as find_domains
    from histoscribe.run.maps.bins import hd_section as hd_section
    from histoscribe.run.maps.section import map_section as map_section
    from histoscribe.run.maps.section import map_slide as map_slide
    from histoscribe.run.maps.settings import MapSettings as MapSettings
    from histoscribe.run.nuclei import nuclei as find_nuclei
    from histoscribe.run.section.score import score as score_domains
    from histoscribe.run.section.settings import NucleiSettings as NucleiSettings
    from histoscribe.run.section.settings import RunConfig as RunConfig
    from histoscribe.run.section.settings import SavedTileSettings as SavedTileSettings
    from histoscribe.run.tiles import save_tiles as save_tiles
    from histoscribe.run.verbs import check as check
    from histoscribe.run.verbs import run_sections as run_sections
    from histoscribe.run.verbs import verify as verify
    from histoscribe.section import Lattice as Lattice
    from histoscribe.section import Section as Section
    from histoscribe.slide.image import SlideImage as SlideImage
    from histoscribe.slide.open import open_image as open_image

# a name, and "module" or "module:attribute" where a room of the package has the attribute's name
_PUBLIC = {
    "HistoscribeError": "histoscribe.errors",
    "Lattice": "histoscribe.section",
    "MapSettings": "histoscribe.run.maps.settings",
    "NucleiSettings": "histoscribe.run.section.settings",
    "PredictOptions": "histoscribe.run.cohort.options",
    "RunConfig": "histoscribe.run.section.settings",
    "SavedTileSettings": "histoscribe.run.section.settings",
    "Section": "histoscribe.section",
    "SlideImage": "histoscribe.slide.image",
    "check": "histoscribe.run.verbs",
    "demo": "histoscribe.run.demo",
    "doctor": "histoscribe.run.doctor",
    "evaluate": "histoscribe.run.cohort.evaluate",
    "find_domains": "histoscribe.run.domains:domains",
    "find_nuclei": "histoscribe.run.nuclei:nuclei",
    "fit_model": "histoscribe.run.cohort.fit:fit",
    "hd_section": "histoscribe.run.maps.bins",
    "make_phantom": "histoscribe.phantom",
    "map_section": "histoscribe.run.maps.section",
    "map_slide": "histoscribe.run.maps.section",
    "open_image": "histoscribe.slide.open",
    "pl": "histoscribe.api",
    "pp": "histoscribe.api",
    "predict_slides": "histoscribe.run.cohort.predict:predict",
    "preflight": "histoscribe.io.preflight",
    "read": "histoscribe.io.formats:read_spatialdata",
    "read_maps": "histoscribe.maps.read",
    "read_section": "histoscribe.io",
    "run_sections": "histoscribe.run.verbs",
    "save_tiles": "histoscribe.run.tiles",
    "score_domains": "histoscribe.run.section.score:score",
    "tl": "histoscribe.api",
    "verify": "histoscribe.run.verbs",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'histoscribe' has no attribute {name!r}; it has: {', '.join(__all__)}")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return __all__
