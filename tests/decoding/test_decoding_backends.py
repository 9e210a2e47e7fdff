"""The tests of decoding run again on JAX and on PyTorch, in separate processes, and the same text on all three."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backend_processes import environment

HERE = Path(__file__).parent
CHOSEN = "not (alone and (sampled or greedy or 2)) and not (stream and sampled)"  # one of each: JAX compiles them anew
SCRIPT = """
import json
import numpy as np
from keras import ops
from nlp_suite.decoding.generate import generate
from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.decoding.sampling import Options
from tests.decoding.step_functions import Trigram, tensor

model = Trigram(40)
prompt, length, max_tokens = tensor([[5, 6, 4], [4, 0, 0], [6, 5, 0]]), tensor([3, 1, 2]), tensor([30, 20, 30])
options = Options.broadcast(3, temperature=[1.0, 1.5, 0.8], top_k=[0, 30, 0], top_p=[1.0, 0.8, 0.9], seed=[1, 2, 3],
                     repetition_penalty=[1.0, 1.2, 1.0])
rules = dict(limit=30, end_token=3, forbidden=(0, 1, 2))
sampled = generate(model.step, model.initial_state(3), prompt, length, max_tokens, options, stop_at_end=False, **rules)
best = beam_search(model.step, model.initial_state(3), prompt, length, max_tokens, beam_size=4, n_best=2,
                   length_penalty=0.6, **rules)
print(json.dumps([ops.convert_to_numpy(answer["tokens"]).tolist() for answer in (sampled, best)]))
"""


def on(backend, *command):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    run = subprocess.run(
        [sys.executable, *command],
        env={**environment(backend), "PYTHONPATH": "."},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    return run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_backend(backend):
    files = [
        str(HERE / f"test_{name}.py")
        for name in ("noise", "sampling", "generate", "continuations", "beam_search", "ensemble")
    ]
    on(backend, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", CHOSEN, *files)


@pytest.mark.slow
def test_the_same_text_on_all_backends():
    texts = [json.loads(on(backend, "-c", SCRIPT).splitlines()[-1]) for backend in ("tensorflow", "jax", "torch")]
    assert texts[0] == texts[1] == texts[2]
