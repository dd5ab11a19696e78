"""Tissue domains: feature blocks and a neighbour graph in, a label and a confidence per spot out.

Examples
--------
>>> from histoscribe.domains import DOMAINS
>>> from histoscribe.domains.metrics import adjusted_rand_index
>>> from histoscribe.graph.lattice import lattice_graph
>>> from histoscribe.phantom import make_phantom
>>> phantom = make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3)
>>> spots = phantom.spots()
>>> xy_um = spots.obsm["spatial"] * phantom.mpp
>>> graph = lattice_graph(xy_um, kind="hex", pitch_um=100.0)
>>> niche = DOMAINS.get("niche")
>>> for clustering in ("mixture", "leiden"):
...     found = niche({"counts": spots.X}, graph=graph, xy_um=xy_um, n_domains=3, seed=0, clustering=clustering)
...     print(f"{clustering}: adjusted Rand index {adjusted_rand_index(found.labels, spots.obs['domain']):.1f}")
mixture: adjusted Rand index 0.8
leiden: adjusted Rand index 0.7
"""

from histoscribe.domains.result import DomainMethod, DomainResult
from histoscribe.registry import Registry

DOMAINS: Registry[DomainMethod] = Registry(
    "domain method",
    group="histoscribe.domains",
    builtin={
        "efnst": "histoscribe.domains.efnst:efnst",
        "histology": "histoscribe.domains.histology:histology",
        "niche": "histoscribe.domains.niche:niche",
    },
)

__all__ = ["DOMAINS", "DomainMethod", "DomainResult"]
