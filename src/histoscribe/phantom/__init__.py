"""Synthetic sections with exact truth."""

from histoscribe.phantom.challenge import write_challenge_h5
from histoscribe.phantom.model import FineMap, Phantom, cohort, make_phantom
from histoscribe.phantom.picture import write_tiff
from histoscribe.phantom.write import write_spaceranger, write_st, write_visium_hd

__all__ = [
    "FineMap",
    "Phantom",
    "cohort",
    "make_phantom",
    "write_challenge_h5",
    "write_spaceranger",
    "write_st",
    "write_tiff",
    "write_visium_hd",
]
