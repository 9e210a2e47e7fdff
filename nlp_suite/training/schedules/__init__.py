"""Learning-rate schedules by name: each gives a Keras schedule or a callback."""
