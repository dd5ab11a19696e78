"""Synthetic sections with exact truth."""
