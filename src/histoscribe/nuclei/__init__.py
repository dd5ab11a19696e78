"""Nuclei: segmenters, the whole-slide engine, and what nuclei look like one by one and under each spot."""

from histoscribe.nuclei.segmenter import Instances, Segmenter
from histoscribe.registry import Registry

SEGMENTERS: Registry[type[Segmenter]] = Registry(
    "segmenter of nuclei",
    group="histoscribe.segmenters",
    builtin={
        "classical": "histoscribe.nuclei.classical:ClassicalSegmenter",
        "instanseg": "histoscribe.nuclei.instanseg:InstanSegSegmenter",
        "stardist": "histoscribe.nuclei.stardist:StarDistSegmenter",
    },
)

__all__ = ["SEGMENTERS", "Instances", "Segmenter"]
