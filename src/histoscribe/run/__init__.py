"""The stages of a run, their order, and resuming."""
