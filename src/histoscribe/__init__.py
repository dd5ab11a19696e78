"""histoscribe reads what an H&E-stained tissue section says about its genes.

The public names are imported when first used, so that `import histoscribe` is quick and needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from histoscribe.errors import HistoscribeError as HistoscribeError
    from histoscribe.section import Lattice as Lattice
    from histoscribe.section import Section as Section
    from histoscribe.slide.image import SlideImage as SlideImage

_PUBLIC = {
    "HistoscribeError": "histoscribe.errors",
    "Lattice": "histoscribe.section",
    "Section": "histoscribe.section",
    "SlideImage": "histoscribe.slide.image",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'histoscribe' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
