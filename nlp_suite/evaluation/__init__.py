"""Numbers, pictures and the report of a trained model; importing this package loads nothing heavy."""
