"""Lets timm be imported where torchvision's compiled operators cannot load, as beside a CPU-only torch.

torchvision declares how two of its compiled operators behave while it is imported, and refuses the import where they
do not exist. Encoders need none of these operators, only the Python part that timm imports. So where the import fails
for this reason, and only there, the two operators' signatures are declared and the import is tried again; calling them
still fails with torchvision's own message.
"""

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

# signatures as torchvision's C++ sources declare them
_SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision() -> ModuleType:
    """Import torchvision, declaring its missing operators where nothing else lets it be imported.

    Raises
    ------
    ImportError, RuntimeError
        As torchvision raises them where it is absent or fails for another reason.
    """
    try:
        return import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # the half-imported pieces of the failed attempt
    _declare_operators()
    return import_module("torchvision")


def import_timm() -> ModuleType:
    """Import timm, which imports torchvision."""
    if find_spec("torchvision") is not None:
        import_torchvision()
    return import_module("timm")


def torchvision_state() -> str:
    """Say how torchvision is: "healthy", "guarded" (without its compiled operators), or why it cannot be imported."""
    if find_spec("torchvision") is None:
        return "torchvision is not installed"
    try:
        import_torchvision()
    except (ImportError, RuntimeError) as error:
        return f"torchvision cannot be imported: {error}"
    return "guarded" if _declare_operators.cache_info().currsize else "healthy"


@cache
def _declare_operators() -> Any:
    from torch.library import Library

    library = Library("torchvision", "FRAGMENT")  # lives as long as this function's cache: torch forgets it otherwise
    for signature in _SIGNATURES:
        library.define(signature)
    return library
