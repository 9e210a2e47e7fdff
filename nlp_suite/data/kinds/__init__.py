"""Kinds of corpora: what a task's examples are, and everything that follows from it. `base` has the contract."""
