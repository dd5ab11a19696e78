"""Nuclei: segmenters, the whole-slide engine, and what nuclei look like one by one and under each spot."""
