"""Order and loops of a run; no SQL and no HTTP."""
