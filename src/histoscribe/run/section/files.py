"""Names of the files and folders that the stages of a section write."""

PREFLIGHT, TISSUE, TILES = "preflight.json", "tissue.zarr", "tiles"
EMBEDDING, NUCLEI, CELLS, TRAINING, MAPS = "embedding.zarr", "nuclei", "cells", "training", "maps"
DOMAINS, EVIDENCE, LATENT, UMAP = "domains.csv", "domains.json", "latent.zarr", "umap.csv"
MARKERS, MORPHOLOGY, NEIGHBOURS = "markers.csv", "morphology.csv", "neighbours.csv"
PREDICTIONS, NOVELTY, PREDICTED = "predictions", "novelty.json", "figures/predictions.png"
SECTION, SCORES = "section.zarr", "scores.json"
