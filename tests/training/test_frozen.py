"""What a backbone freezes is in a run folder once; runs are resumed, averaged, trained on and checked as ever."""

import keras
import numpy as np
import pytest
from rich.console import Console

from nlp_suite.backbones.bag import BagBackbone
from nlp_suite.config import load_experiment
from nlp_suite.errors import DamagedFileError, RunError
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.backbones import BagSettings
from nlp_suite.training.checkpoint_average import average
from nlp_suite.training.frozen import FROZEN
from nlp_suite.training.run import Run, load_weights, make_task
from nlp_suite.training.train import train
from tests.training.test_train import Killed, same, stop_after, weights

QUIET = Console(quiet=True)
WORDS = 60 * 200 * 4  # bytes of the frozen table, V × E float32, at least


class FrozenBag(BagBackbone):
    """A bag of words whose embeddings are never trained."""

    def build_encoder(self):
        super().build_encoder()
        self.embedding.trainable = False

    def frozen_weights(self):
        return self.embedding.weights


@pytest.fixture(autouse=True, scope="module")
def frozen_bag():
    with BACKBONES.temporary():
        cls = keras.saving.register_keras_serializable("tests")(FrozenBag)
        yield BACKBONES.register(BagSettings, "frozen_bag")(cls)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    backbone = {"name": "frozen_bag", "embedding_size": 200, "ngrams": 1, "hidden": [4], "dropout": 0.2}
    training = {"epochs": 3, "average_checkpoints": 2, "batch_size": 64, "ema": 0.9, "tensorboard": False}
    return load_experiment(
        {
            "data": {"source": {"name": "sample", "size": 200, "test": 40}, "cache": str(tmp_path_factory.mktemp("c"))},
            "text": {"max_length": 40},
            "backbone": backbone,
            "training": training,
        }
    )


@pytest.fixture(scope="module")
def run(chosen, tmp_path_factory):
    return train(chosen, tmp_path_factory.mktemp("frozen") / "run", console=QUIET)


def test_it_is_once_in_the_folder(run):
    files = {path.name: path.stat().st_size for path in (run.directory / "checkpoints").iterdir()}
    assert [name for name, size in files.items() if size > WORDS] == ["frozen.weights.h5"]
    assert Run(run.directory).info["schema"] == 3  # earlier versions read 2, and know of no such file
    assert {"best.weights.h5", "last.weights.h5", "average.weights.h5", "state.npz"} < set(files)


def test_every_checkpoint_has_all_weights(run):
    for checkpoint in ("average", "best", "last"):
        best, *others = weights(run, "best"), weights(run, checkpoint)
        assert same(best[:1], others[0][:1]) and (checkpoint == "best" or not same(best, others[0]))
    fresh = make_task(run.experiment).model(run.experiment.backbone, run.assets)
    load_weights(fresh, run.weights("last"))
    assert same([keras.ops.convert_to_numpy(w) for w in fresh.weights], weights(run, "last"))


def test_a_run_that_was_stopped_ends_with_the_same_weights(run, chosen, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, 1)
        train(chosen, tmp_path / "run", console=QUIET)
    resumed = train(chosen, tmp_path / "run", console=QUIET)
    for checkpoint in ("best", "last", "average"):
        assert same(weights(resumed, checkpoint), weights(run, checkpoint))


def test_a_run_goes_on_from_it(run, chosen, tmp_path):
    values = chosen.model_dump(mode="json")
    values["training"] |= {"init_from": str(run.directory), "epochs": 1, "optimizer": "sgd", "learning_rate": 1e-9}
    on = train(load_experiment(values), tmp_path / "on", console=QUIET)
    for one, other in zip(weights(on), weights(run, "average"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_average_is_of_all_kept_checkpoints(run):
    before = weights(run, "average")
    assert average(run, last=2) == [2, 3]
    for one, other in zip(weights(run, "average"), before, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_a_frozen_file_that_is_missing_or_another_one_is_named(run, chosen, tmp_path):
    other = train(chosen, tmp_path / "other", console=QUIET)
    path, best = other.directory / FROZEN, other.weights("best")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(DamagedFileError, match=r"frozen.weights.h5 is damaged"):
        Run(other.directory).model()
    path.unlink()
    with pytest.raises(DamagedFileError, match=r"frozen.weights.h5 is missing, though run.json lists it: restore it"):
        Run(other.directory).model()
    path.write_bytes(content)
    narrow = chosen.backbone.model_copy(update={"hidden": [5]})
    with pytest.raises(
        RunError, match=r"best.weights.h5 is damaged, or holds the weights of another network: array \d+ has"
    ):
        load_weights(make_task(chosen).model(narrow, other.assets), best)
