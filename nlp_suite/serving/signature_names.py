"""Names that TensorFlow Serving gives a meaning: the default signature, and the methods of Classify and Regress."""

DEFAULT_SIGNATURE = "serving_default"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
