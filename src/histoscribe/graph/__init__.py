"""Neighbours of spots on a lattice or in the plane; sparse only."""
