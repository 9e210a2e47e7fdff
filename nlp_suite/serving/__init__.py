"""Models on the network: an endpoint that answers as TensorFlow Serving does, clients for either, batch prediction."""
