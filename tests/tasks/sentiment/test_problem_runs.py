"""Every problem from a config to the endpoint's answer: trained, measured, exported in two formats, examined and asked."""

import numpy as np
import pytest
from rich.console import Console

from nlp_suite.export import run_export
from nlp_suite.export.load import load
from nlp_suite.serving import inference
from nlp_suite.serving.doctor import examine
from nlp_suite.tasks.sentiment.problems import PROBLEMS
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.train import train

TEXTS = ["The plot was really great.", "The songs were dull and the cast was awful.", ""]
pytestmark = pytest.mark.slow


def write_pairs(folder):
    """Two questions' names agree, or they do not."""
    names, draw = ["anna", "ben", "carla", "dora"], np.random.default_rng(0)
    for split in ("train", "test"):
        rows = [(draw.choice(names), draw.choice(names)) for _ in range(300)]
        lines = [f"where is {a} ?\tthere is {b}\t{'yes' if a == b else 'no'}" for a, b in rows]
        (folder / f"{split}.tsv").write_text("question\tanswer\tlabel\n" + "\n".join(lines) + "\n")
    files = {split: str(folder / f"{split}.tsv") for split in ("train", "test")}
    return {"name": "files", **files, "text_column": "question", "text_b_column": "answer"}


@pytest.mark.parametrize("problem", [*PROBLEMS, "text pairs"])
def test_from_config_to_answer(small, tmp_path, problem):
    from tensorflow.core.example.example_pb2 import Example
    from tensorflow_serving.apis import classification_pb2, regression_pb2

    from nlp_suite.serving.servable import Servable, SessionSettings

    is_pair = problem == "text pairs"
    task = {} if is_pair else {"task": {"name": "sentiment", "problem": problem}}
    data = {"data": {"source": write_pairs(tmp_path)}} if is_pair else {}
    run = train(small("training.epochs=1", **task, **data), tmp_path / "run", console=Console(quiet=True))
    report = evaluate(run)
    assert report["examples"] == (300 if is_pair else 60) and report["baseline"]["tfidf"]["lead"]
    assert (tmp_path / "run" / "report.html").stat().st_size
    texts = [("where is anna ?", "there is anna"), ("", "")] if is_pair else TEXTS
    of_run = load(run.directory)
    expected, vectors = of_run.predict(texts), of_run.embed(texts)

    exported = run_export(run.directory, tmp_path / "models" / "demo")
    run_export(run.directory, tmp_path / "demo.keras", "keras")
    for path in (exported.path, tmp_path / "demo.keras"):
        for answer, wanted in zip(load(path).predict(texts), expected, strict=True):
            for key, value in wanted.items():
                near = pytest.approx(value, abs=1e-5) if key in ("value", "probability", "probabilities") else value
                assert answer[key] == near, (path, key)
        np.testing.assert_allclose(load(path).embed(texts), vectors, atol=1e-5)
    assert examine(exported.path).ok

    regresses = problem == "regression"
    request = (regression_pb2.RegressionRequest if regresses else classification_pb2.ClassificationRequest)()
    request.model_spec.signature_name = "regress" if regresses else "classify"
    names = ["text", "text_b"] if is_pair else ["text"]
    for text in texts:
        example = Example()
        for name, part in zip(names, text if is_pair else [text]):
            example.features.feature[name].bytes_list.value.append(part.encode())
        request.input.example_list.examples.append(example)
    servable = Servable("demo", 1, exported.path, SessionSettings())
    try:
        answers = (inference.regress if regresses else inference.classify)(servable, request).result
    finally:
        servable.close()
    if regresses:
        values = [row.value for row in answers.regressions]
        assert values == pytest.approx([answer["value"] for answer in expected], abs=1e-4)
        return
    for row, wanted in zip(answers.classifications, expected, strict=True):
        assert {entry.label: entry.score for entry in row.classes} == pytest.approx(wanted["probabilities"], abs=1e-5)
