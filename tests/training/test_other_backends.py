"""JAX and PyTorch: a run trained on JAX is exported by TensorFlow with the same answers; one step trains on PyTorch."""

import json
import subprocess
import sys

import pytest
import yaml
from keras import ops

from nlp_suite.export.load import load
from nlp_suite.training.run import run_record
from tests.backend_processes import environment, run_on
from tests.training.test_causal_start import chosen, write_model

pytestmark = pytest.mark.slow
BACKBONES = {
    "bag": {"embedding_size": 4, "ngram_buckets": 512},
    "cnn": {"embedding_size": 8, "filters": 4},
    "rnn": {"embedding_size": 8, "units": 4},
    "lstm": {"embedding_size": 8, "units": 4, "recurrent_dropout": 0.1},
    "gru": {"embedding_size": 8, "units": 4, "dropout": 0.1},
    "transformer": {"embedding_size": 8, "heads": 2, "feed_forward": 16},
}


def command(backend, *arguments):
    return run_on(backend, "-m", "nlp_suite", *map(str, arguments))


TEXTS = ["the plot was good but the acting was not", "a dull film", "", "never funny"]
TRAINS = """
import json, sys
from rich.console import Console
from nlp_suite.config import load_experiment
from nlp_suite.export.load import load
from nlp_suite.training.train import train
found = []
for config in sys.argv[2:]:
    run = train(load_experiment(config), config.removesuffix(".yaml"), console=Console(quiet=True))
    found.append([answer["probabilities"]["positive"] for answer in load(run.directory).predict(json.loads(sys.argv[1]))])
print(json.dumps(found))
"""


def config(small, tmp_path, backbone, **training):
    values = small(training={"epochs": 1, **training}, task={"pooling": ["max", "attention"]}).model_dump(mode="json")
    values["backbone"] = {"name": backbone, **BACKBONES[backbone]}
    (tmp_path / f"{backbone}.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / f"{backbone}.yaml"


def answers(path):
    """Of a run or an export, on this backend."""
    return [answer["probabilities"]["positive"] for answer in load(path).predict(TEXTS)]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_backbone_trains_and_answers_as_on_tensorflow(small, tmp_path, backend):
    """In one process; what JAX trained is exported there, too."""
    configs = [config(small, tmp_path, backbone, buckets=1) for backbone in BACKBONES]
    output = run_on(backend, "-c", TRAINS, json.dumps(TEXTS), *map(str, configs))
    for where, there in zip(configs, json.loads(output.splitlines()[-1]), strict=True):
        assert max(there) - min(there) > 1e-6
        assert answers(where.with_suffix("")) == pytest.approx(there, abs=1e-4), where.stem
        if backend == "jax" and where.stem in ("lstm", "transformer"):
            command(backend, "export", where.with_suffix(""), "--to", tmp_path / "models" / where.stem)
            assert answers(tmp_path / "models" / where.stem) == pytest.approx(there, abs=1e-4), where.stem


CAUSAL = """
import json, sys
from rich.console import Console
from nlp_suite.config import load_experiment
from nlp_suite.export.load import load
from nlp_suite.training.train import train
run = train(load_experiment(sys.argv[1]), sys.argv[2], console=Console(quiet=True))
model = load(run.directory)
print(json.dumps([model.score(["A great film"]), model.generate(["The film"], max_tokens=3, temperature=0.0)]))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_pretrained_causal_model_trains_and_answers(tmp_path, backend):
    pytest.importorskip(backend)
    write_model(tmp_path / "llama", num_hidden_layers=1)
    experiment = chosen(tmp_path / "llama", tmp_path, epochs=1, layer_rates=0.8)
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
    output = run_on(backend, "-c", CAUSAL, str(tmp_path / "e.yaml"), str(tmp_path / "run"))
    (score,), (written,) = json.loads(output.splitlines()[-1])
    model = load(tmp_path / "run")
    assert model.score(["A great film"])[0]["token_log_probs"] == pytest.approx(score["token_log_probs"], abs=1e-4)
    (expected,) = model.generate(["The film"], max_tokens=3, temperature=0.0)
    assert written["text"] == expected["text"] and written["log_prob"] == pytest.approx(expected["log_prob"], abs=1e-4)
    from safetensors.numpy import load_file

    (before,) = (
        w for n, w in load_file(tmp_path / "llama" / "model.safetensors").items() if n.endswith("up_proj.weight")
    )
    after = ops.convert_to_numpy(model.model.backbone.modules()["block 0 expand"].kernel)
    assert before.T.shape == after.shape and (after != before.T).any()


def test_a_state_of_another_backend_is_refused(small, tmp_path):
    pytest.importorskip("jax")
    where = config(small, tmp_path, "bag", epochs=2)
    command("jax", "train", where, "--run-dir", tmp_path / "run")
    run_record(tmp_path / "run").update(state="running")
    done = subprocess.run(
        [sys.executable, "-m", "nlp_suite", "train", str(where), "--run-dir", str(tmp_path / "run")],
        env=environment("tensorflow"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "backend 'jax'; this is 'tensorflow'. Continue with KERAS_BACKEND=jax" in done.stderr
