"""Tissue domains: feature blocks and a neighbour graph in, a label and a confidence per spot out."""

from histoscribe.domains.result import DomainMethod, DomainResult
from histoscribe.registry import Registry

DOMAINS: Registry[DomainMethod] = Registry(
    "domain method",
    group="histoscribe.domains",
    builtin={
        "efnst": "histoscribe.domains.efnst:efnst",
        "histology": "histoscribe.domains.histology:histology",
        "niche": "histoscribe.domains.niche:niche",
        "niche-leiden": "histoscribe.domains.niche:niche_leiden",
    },
)

__all__ = ["DOMAINS", "DomainMethod", "DomainResult"]
