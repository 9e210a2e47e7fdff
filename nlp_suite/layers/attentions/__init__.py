"""Attention of a recurrent decoder over the encoded source: how a query scores its positions, one file each."""
