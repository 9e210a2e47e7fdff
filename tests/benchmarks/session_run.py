"""What an exported graph itself costs: versions of a model in one process, run in turns, and the ops that one run executes.

Nothing of the endpoint but `Servable.run` is in between. The first version is what the others are compared with; an export
of an older commit can stand beside one of today.

    python tests/benchmarks/session_run.py saved_models/sentiment_sample/1 saved_models/sentiment_sample/2
    python tests/benchmarks/session_run.py before/imdb/1 after/imdb/1 --texts reviews.txt --rows 1 32
"""

import argparse
import itertools
import os
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def ops_executed(servable, signature, feeds):
    """How many nodes of the graph a run executes, those within loops at every turn."""
    import tensorflow as tf

    definition, metadata = servable.signatures[signature], tf.compat.v1.RunMetadata()
    servable._session.run(
        [definition.outputs[alias].name for alias in sorted(definition.outputs)],
        {definition.inputs[alias].name: array for alias, array in feeds.items()},
        options=tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE),
        run_metadata=metadata,
    )
    return sum(len(device.node_stats) for device in metadata.step_stats.dev_stats)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="+", help="version folders of exports with one text as input")
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument("--text", default="The plot was good but the acting was not.")
    parser.add_argument("--texts", help="file with a text a line, taken in turn")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=20, help="turns of each version")
    parser.add_argument("--runs", type=int, default=40, help="runs a turn")
    options = parser.parse_args()
    from nlp_suite.serving.servable import Servable, SessionSettings

    servables = [Servable(path, 1, Path(path), SessionSettings()) for path in options.versions]
    lines = Path(options.texts).read_text("utf-8").splitlines() if options.texts else [options.text]
    print(f"{'rows':>4}  {'ms: least':>9}{'median':>9}{'faster':>9}{'median':>9}{'ops':>8}  version")
    for rows in options.rows:
        texts = np.array([text.encode() for text in itertools.islice(itertools.cycle(lines), rows)], object)
        taken = [[] for _ in servables]
        for turn, (times, servable) in itertools.product(range(-1, options.rounds), zip(taken, servables)):
            definition = servable.signatures[options.signature]
            (alias,), outputs = definition.inputs, sorted(definition.outputs)
            for _ in range(options.runs):
                start = time.perf_counter()
                servable.run(options.signature, {alias: texts}, outputs)
                times += [time.perf_counter() - start] * (turn >= 0)
        least, median = np.min(taken, axis=1) * 1e3, np.median(taken, axis=1) * 1e3
        for i, servable in enumerate(servables):
            (alias,) = servable.signatures[options.signature].inputs
            figures = f"{least[i]:9.3f}{median[i]:9.3f}{least[0] / least[i]:9.2f}{median[0] / median[i]:9.2f}"
            ops = ops_executed(servable, options.signature, {alias: texts})
            print(f"{rows:4}  {figures}{ops:8,}  {servable.name}", flush=True)


if __name__ == "__main__":
    main()
