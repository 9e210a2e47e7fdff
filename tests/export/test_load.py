"""One door: everything that predicts opens by its path and answers in the order of the texts."""

import shutil

import numpy as np
import pytest

from nlp_suite.errors import DamagedFileError, ExportError
from nlp_suite.export.load import load
from nlp_suite.export.staging import EDITABLE, check_version, write_record
from nlp_suite.predictor import Predictor
from nlp_suite.serving.servable import Servable, SessionSettings
from nlp_suite.tasks.shared import request_checks
from tests.damage import own_files, used_silently
from tests.export.conftest import LABELS, TEXTS


def test_one_text_gives_one_answer(predictor):
    answer = predictor.predict("a fine film")
    assert (
        set(answer) == {"label", "probability", "probabilities", "truncated"}
        and list(answer["probabilities"]) == LABELS
    )
    assert answer["probability"] == answer["probabilities"][answer["label"]] == max(answer["probabilities"].values())
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert predictor.predict(b"a fine film") == answer
    assert type(answer["probability"]) is float


def test_batches_do_not_change_answers_nor_their_order(predictor):
    texts = [*TEXTS[:5], "", "a " * 50, "\ud800 half a pair", b"\xff"] * 3
    one_by_one = np.array([list(predictor.predict(text)["probabilities"].values()) for text in texts])
    for batch_size in (1, 4, 64):
        answers = predictor.predict(texts, batch_size=batch_size)
        together = np.array([list(answer["probabilities"].values()) for answer in answers])
        np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    assert predictor.predict([]) == []


def test_streams_are_read_a_chunk_at_a_time(predictor):
    read = []
    stream = predictor.predict_iter((read.append(i) or f"film {i}" for i in range(10_000)), batch_size=2)
    assert next(stream)["label"] in LABELS and len(read) <= 64


def test_a_text_must_be_text(predictor):
    with pytest.raises(TypeError, match="not int"):
        predictor.predict(["fine", 3])


def test_run_version_and_parent_of_versions_answer_alike(predictor, exported, tmp_path):
    shutil.copytree(exported.path, tmp_path / "m" / "9")
    (tmp_path / "m" / "10").mkdir()  # no SavedModel: passed over
    expected = predictor.probabilities(TEXTS[:5])
    parent, version = load(tmp_path / "m"), load(str(exported.path))
    assert parent.labels == version.labels == LABELS and isinstance(version, Predictor)
    np.testing.assert_allclose(parent.probabilities(TEXTS[:5]), expected, atol=1e-5)
    np.testing.assert_allclose(version.probabilities(TEXTS[:5], batch_size=2), expected, atol=1e-5)
    assert parent.predict(["", b"\xff"])[0]["label"] in LABELS


def test_wrong_paths_say_what_was_expected(tmp_path):
    with pytest.raises(ExportError, match="does not exist; expected a run folder"):
        load(tmp_path / "missing")
    with pytest.raises(ExportError, match="is none of these"):
        load(tmp_path)
    (tmp_path / "a.keras").write_text("x")
    with pytest.raises(ExportError, match="is no Keras file"):
        load(tmp_path / "a.keras")


def test_a_damaged_export_is_named(predictor, exported, tmp_path):
    files = [name for name in own_files(exported.path) if name.split("/")[-1] not in EDITABLE]
    assert {"saved_model.pb", "variables/variables.index", "assets.extra/config.yaml"} < set(files)
    other = shutil.copytree(exported.path, tmp_path / "other")
    for name in files:
        (other / name).write_bytes((other / name).read_bytes() + b"other")
    write_record(other)
    assert used_silently(exported.path, other, files, check_version, tmp_path / "1") == []
    place = shutil.copytree(exported.path, tmp_path / "2")
    (place / "saved_model.pb").write_bytes((place / "saved_model.pb").read_bytes()[:5000])
    for use in (load, lambda path: Servable("m", 2, path, SessionSettings())):
        with pytest.raises(DamagedFileError, match=r"saved_model.pb is damaged .*: export the run again"):
            use(place)
    (place / "assets.extra" / "files.json").unlink()  # as of older exports
    for content in (b"", bytes(5000), (exported.path / "saved_model.pb").read_bytes()[:5000]):
        (place / "saved_model.pb").write_bytes(content)
        with pytest.raises(ExportError, match="2' is no SavedModel that can be loaded"):
            load(place)


def test_a_saved_model_of_someone_else_is_refused(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.function = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.function)
    with pytest.raises(ExportError, match="is no model of nlp-suite export"):
        load(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "2"))
    with pytest.raises(ExportError, match="is no model of nlp-suite export"):
        load(tmp_path)


def test_a_keras_file_of_someone_else_is_refused(tmp_path):
    import keras

    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "a.keras")
    with pytest.raises(ExportError, match="no text layer"):
        load(tmp_path / "a.keras")


def test_compiling_backends_meet_few_shapes(monkeypatch):
    monkeypatch.setattr(request_checks, "_compiles_every_shape", lambda: True)
    assert len({request_checks.padded_rows(count) for count in range(1, 65)}) == 7
    assert len({request_checks.padded_width([np.ones(length)]) for length in range(1, 129)}) == 4
