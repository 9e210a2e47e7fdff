"""On TensorFlow several devices share the steps of what one device trains."""

import keras
import pytest

from nlp_suite.training.run import Run
from nlp_suite.training.train import train
from tests.training.distributed_runs import SECTIONS, distance, experiment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="this process has another backend"),
]
CARRYING = {
    **SECTIONS["language_model"],  # which carries a state
    "backbone": {"name": "rnn", "embedding_size": 8, "units": 8, "dropout": 0.1, "word_dropout": 0.1},
    "training": {"epochs": 1, "save_every": 5, "batch_size": 8, "clip_norm": 0.1, "ema": 0.9, "accumulation_steps": 2},
}


class Killed(Exception):
    pass


def test_devices_share_what_one_trains_and_one_goes_on(tmp_path, monkeypatch):
    """With dropout, clipping, accumulation, averages, fused Adam and a carried state."""

    def kill(interval, logs):
        if interval == 2:
            raise Killed

    one, several = (experiment("", tmp_path, CARRYING, distribution=d) for d in ("none", "data_parallel"))
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "cpu:0"])
    with pytest.raises(Killed):
        train(several, tmp_path / "several", callbacks=[kill])
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])
    assert Run(tmp_path / "several").info["devices"] == 2
    train(several, tmp_path / "several")
    train(one, tmp_path / "one")
    assert distance(tmp_path / "one", tmp_path / "several") < 1e-6
