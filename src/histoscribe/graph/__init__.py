"""Neighbour graphs of spots, on a lattice or anywhere, as sparse matrices. Arrays in, arrays out."""
