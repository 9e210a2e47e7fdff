"""Tokenizers, one file each; every file registers itself under its own name."""
