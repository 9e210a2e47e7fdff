"""Strings to token ids and back: normalisation, tokenizers, truncation, padding."""
