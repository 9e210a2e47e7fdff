"""What it brings to drop finished rows while a batch of real sentences is translated: with and without, turn by turn.

    python tests/benchmarks/translation_batches.py runs/translation_tatoeba_transformer --texts sentences.txt
    python tests/benchmarks/translation_batches.py runs/translation_sample --texts sentences.txt --beam 5 --batch 32 --threads 2

The run's network, its search compiled as an export has it, the sentences in the order of the file. One thread an operation by
default, as the endpoint has it.
"""

import argparse
import time
from pathlib import Path

import numpy as np


def searches(inference, beam):
    """The search as TensorFlow runs it: `{"dropped": …, "kept": …}`, each of (source `[B, S]`, most `[B]`)."""
    import tensorflow as tf

    from nlp_suite.decoding import beam_search

    settings, narrow = inference.settings, beam_search.can_narrow
    rules = {"limit": settings.max_tokens, "beam_size": beam, "n_best": 1, "no_repeat_ngram": 0, "use_coverage": False}
    made = {}
    for name in ("dropped", "kept"):

        @tf.function(
            input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)], autograph=False
        )
        def search(source, most):
            return inference.search.hypotheses(source, most, settings.min_length, settings.length_penalty, 0.0, **rules)

        beam_search.can_narrow = narrow if name == "dropped" else lambda trees: False
        search.get_concrete_function()
        made[name] = search
    beam_search.can_narrow = narrow
    return made


def batches(inference, texts, rows):
    """Source ids and the most tokens of each translation, batch by batch."""
    settings = inference.settings
    for start in range(0, len(texts) - rows + 1, rows):
        ids = inference.text.encode(texts[start : start + rows])
        lengths = np.array([len(row) - 1 for row in ids])
        most = (settings.max_length_factor * lengths).astype(int) + settings.max_length_extra
        yield inference.text.pad(ids), np.minimum(most, settings.max_tokens).astype("int32")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--texts", required=True, help="file with a sentence a line")
    parser.add_argument("--beam", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--sentences", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of an operation")
    options = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    from nlp_suite.export.load import open_run
    from nlp_suite.training.run import Run

    run = Run(options.run)
    inference = open_run(run, run.model())
    texts = Path(options.texts).read_bytes().splitlines()[: options.sentences]
    print(f"{'beam':>4}{'rows':>6}{'rows dropped, ms a sentence':>30}{'kept':>8}{'times':>8}")
    for beam in options.beam:
        made = searches(inference, beam)
        for rows in options.batch:
            given = list(batches(inference, texts, rows))
            taken = {name: [] for name in made}
            for number in range(options.rounds + 1):  # the first round does not count
                for source, most in given:
                    for name, search in made.items():
                        start = time.perf_counter()
                        search(source, most)["length"].numpy()
                        if number:
                            taken[name].append(time.perf_counter() - start)
            dropped, kept = (np.mean(taken[name]) * 1e3 / rows for name in ("dropped", "kept"))
            print(f"{beam:4}{rows:6}{dropped:30.2f}{kept:8.2f}{kept / dropped:8.2f}", flush=True)


if __name__ == "__main__":
    main()
