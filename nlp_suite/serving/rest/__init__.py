"""TensorFlow Serving's REST interface: paths, JSON in, JSON out, and the application that joins them."""
