"""Kinds of corpora: what a task's examples are, how they are split, and what stands beside the tokens.

A kind is one file, named as in the `examples` of a task's settings, with the functions `split`, `limit`, `label_names`
and `write_split` of `labelled`.
"""
