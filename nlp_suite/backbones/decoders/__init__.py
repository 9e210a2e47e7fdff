"""Decoders: causal networks that read an encoded source through attention, one file each."""
