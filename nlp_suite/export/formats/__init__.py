"""The export formats, each one file of the registry."""
