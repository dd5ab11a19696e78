"""Maps of a section's genes, finer than its spots: the calls and their stages."""
