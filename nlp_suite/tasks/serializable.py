"""Imports every model that Keras may meet in a saved file, which registers them."""

import nlp_suite.tasks.language_model
import nlp_suite.tasks.sentiment
import nlp_suite.tasks.translation  # noqa: F401
