"""What a config may say of components whose classes need Keras: checked without importing it."""
