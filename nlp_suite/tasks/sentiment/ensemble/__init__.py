"""Classifiers that were trained apart and answer together, as one run: the weighted mean of their calibrated probabilities.

`making` makes the run folder of finished runs; `task` is the variant of the sentiment task that such a run has.
"""
