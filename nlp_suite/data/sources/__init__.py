"""Sources of examples, one file each; `base` has the contract."""
