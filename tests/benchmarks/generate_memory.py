"""Memory of a process that answers one request after the other with a language model.

    python -m tests.benchmarks.generate_memory MODEL [--requests 200] [--tokens 16]

MODEL is a run folder or an export. Prompts are of all lengths, so that whatever is compiled is compiled in the first requests;
after them the memory should not grow.
"""

import argparse
import gc
import os
from pathlib import Path

import numpy as np

from nlp_suite.export.load import load

WORDS = ["the", "film", "was", "not", "good", "but", "the", "cast", "was", "great", "and", "the", "plot", "a", "mess"]


def resident() -> float:
    """MiB of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=16)
    options = parser.parse_args()
    model, random = load(options.model), np.random.default_rng(0)
    for number in range(options.requests + 1):
        if number % max(1, options.requests // 10) == 0:
            gc.collect()
            print(f"{number:5} requests: {resident():8.1f} MiB", flush=True)
        prompts = [" ".join(random.choice(WORDS, random.integers(1, 40))) for _ in range(random.integers(1, 5))]
        model.generate(prompts, max_tokens=options.tokens, seed=number)


if __name__ == "__main__":
    main()
