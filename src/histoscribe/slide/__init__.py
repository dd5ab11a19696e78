"""Pixels: opening pictures, tissue, stain, tiles, alignment. Takes and returns arrays; knows nothing of spots."""
