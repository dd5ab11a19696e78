"""histoscribe reads what an H&E-stained tissue section says about its genes.

The public names are imported when first used, so that `import histoscribe` is quick and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from histoscribe.errors import HistoscribeError as HistoscribeError
    from histoscribe.io import read_section as read_section
    from histoscribe.io.preflight import preflight as preflight
    from histoscribe.phantom import make_phantom as make_phantom
    from histoscribe.run.config import RunConfig as RunConfig
    from histoscribe.run.demo import demo as demo
    from histoscribe.run.doctor import doctor as doctor
    from histoscribe.run.verbs import check as check
    from histoscribe.run.verbs import run_sections as run_sections
    from histoscribe.run.verbs import verify as verify
    from histoscribe.section import Lattice as Lattice
    from histoscribe.section import Section as Section
    from histoscribe.slide.image import SlideImage as SlideImage
    from histoscribe.slide.open import open_image as open_image

_PUBLIC = {
    "HistoscribeError": "histoscribe.errors",
    "Lattice": "histoscribe.section",
    "RunConfig": "histoscribe.run.config",
    "Section": "histoscribe.section",
    "SlideImage": "histoscribe.slide.image",
    "check": "histoscribe.run.verbs",
    "demo": "histoscribe.run.demo",
    "doctor": "histoscribe.run.doctor",
    "make_phantom": "histoscribe.phantom",
    "open_image": "histoscribe.slide.open",
    "preflight": "histoscribe.io.preflight",
    "read_section": "histoscribe.io",
    "run_sections": "histoscribe.run.verbs",
    "verify": "histoscribe.run.verbs",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'histoscribe' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
