"""The tests of decoding run again on JAX and on PyTorch, in separate processes, and the same text on all three."""

import json

import pytest

from tests.backend_processes import run_on, run_tests_on

FILES = [
    f"tests/decoding/test_{name}.py"
    for name in ("noise", "sampling", "generate", "continuations", "beam_search", "ensemble")
]
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


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_backend(backend):
    run_tests_on(backend, FILES, CHOSEN)


@pytest.mark.slow
def test_the_same_text_on_all_backends():
    texts = [json.loads(run_on(backend, "-c", SCRIPT).splitlines()[-1]) for backend in ("tensorflow", "jax", "torch")]
    assert texts[0] == texts[1] == texts[2]
