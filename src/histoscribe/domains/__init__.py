"""Tissue domains: features, methods, and the metrics that say what a set of labels is worth."""
