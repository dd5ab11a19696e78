"""Maps finer than the spots: expression on the tissue's own pixels."""
