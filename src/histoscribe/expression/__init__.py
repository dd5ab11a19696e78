"""Counts to targets: depth, normalisation, ranks, choice of genes, and how much of a gene is noise."""
