"""Tile to vector: encoders, their cards, and the engine that runs them over a slide."""
