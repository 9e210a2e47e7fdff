"""Kinds of corpora: what a task's examples are, how they are split, and what stands beside the tokens.

A kind is one file, named as in the `examples` of a task's settings, with the functions `split`, `limit`, `label_names`,
`texts`, `write_split` and `open_split` of `labelled`. Examples with two sides (`pairs`) have a text layer for each: `texts`
and `write_split` take them.
"""
