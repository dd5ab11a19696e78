"""histoscribe on objects in memory, in the field's habits: `pp` prepares, `tl` finds, `pl` draws."""

from histoscribe.api import pl, pp, tl

__all__ = ["pl", "pp", "tl"]
