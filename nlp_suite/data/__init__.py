"""Sources of examples, the token store, and batches as a pure function of their number."""
