"""Who is whose neighbour: spots on a lattice or anywhere, as sparse matrices. Arrays in, arrays out."""
