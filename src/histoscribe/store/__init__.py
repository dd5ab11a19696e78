"""Crash-safe, checksummed files: arrays, folders committed whole, the manifest."""
