"""The families of pretrained encoders, each one file: the fields of its config.json and the names of its weights."""
