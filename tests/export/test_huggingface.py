"""A folder in Hugging Face's layout has the run's model: in transformers, and where a backbone starts from it again."""

import ast
import contextlib
import io
import json
import re
import runpy
from functools import partial

import numpy as np
import pytest

from nlp_suite.errors import ExportError
from nlp_suite.export import fresh_process, run_export, self_check
from nlp_suite.export.classifier_head import ClassifierHead
from nlp_suite.export.formats import huggingface
from nlp_suite.export.formats.huggingface_card import readme
from nlp_suite.export.formats.huggingface_model import DoesNotFitError, authors_head
from nlp_suite.export.load import load
from nlp_suite.pretrained.architecture import read_architecture
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.text.pairs import join_pair
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.text.tokenizers.preset import PresetTokenizer
from nlp_suite.training.run import Run
from tests.export.conftest import make_run
from tests.pretrained.encoders import FIXTURES, backbone_of
from tests.text.preset_folders import TEXTS, preset_tokenizer

LABEL = {
    "bert": "uncased",
    "distilbert": "cased",
    "roberta": "byte_bpe",
    "xlm-roberta": "xlm_roberta",
    "albert": "albert",
}
CARD = {  # of a run, as far as the page needs it
    "name": "m", "description": "", "task": "sentiment", "labels": ["a"], "backbone": {"name": "preset"}, "task_settings": {},
    "parameters": 1, "weight_bytes": 4, "text": {"tokenizer": {"name": "preset"}, "vocabulary_size": 9}, "created": "today",
    "reads_and_writes": {}, "data": {"name": "files", "splits": {}}, "metrics": {}, "limits": [],
}  # fmt: skip
PAIRS = list(zip(TEXTS, reversed(TEXTS)))
SENTENCES = ["The film was not good, but the cast was great!", "A great film.", "", "Der Film war über alle Maßen gut"]
SENTENCES += ["Not [SEP] good at </s> all."]  # ordinary text


def architecture(family, **sizes):
    recorded = json.loads((FIXTURES / family / "config.json").read_text())
    return read_architecture({**recorded, **sizes}, "test").model_dump(mode="json")


def preset_run(directory, family, licence=None, text=None, **settings):
    """A run over a small random encoder of a family, with a tokenizer of its kind."""
    tokenizer = preset_tokenizer(directory / "model", LABEL[family])
    sizes = {"vocab_size": tokenizer.vocabulary_size, "max_position_embeddings": 60}
    run = make_run(
        directory,
        {"name": "preset", "architecture": architecture(family, **sizes)},
        layer=partial(TextLayer, tokenizer=tokenizer),
        text={"tokenizer": "preset", "max_length": 50, **(text or {})},
        **settings,
    )
    info = json.loads((run / "run.json").read_text())
    info["pretrained"] = {"from": "models/small", "licence": licence}
    (run / "run.json").write_text(json.dumps(info))
    return run


@pytest.fixture
def in_process(monkeypatch):
    """The self-check without a process of its own, whose imports take seconds."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.setattr(self_check, "_fresh_process", lambda job, environment=None: fresh_process._huggingface(job))


CASES = {  # family, settings of the run, where the classifier is, a part of what is remarked
    "tanh": ("bert", {"pooling": ["first"], "labels": ["a", "b", "c"]}, "class", None),
    "hidden": ("distilbert", {"pooling": ["first"], "hidden": 5}, "class", None),
    "roberta": ("roberta", {"pooling": ["first"]}, "class", None),
    "labels": (
        "albert",
        {"pooling": ["first"], "problem": "multi_label", "thresholds": {"positive": 0.3}},
        "class",
        "labels are given from these probabilities on: positive 0.3",
    ),
    "number": (
        "bert",
        {"pooling": ["first"], "problem": "regression", "labels": [], "facts": {"mean": 3.5, "deviation": 1.5}},
        "class",
        None,
    ),
    "pairs": ("bert", {"pooling": ["first"], "facts": {"text_pairs": True}}, "class", None),
    "poolings": (
        "xlm-roberta",
        {"pooling": ["last", "attention", "max"], "hidden": 4},
        "file",
        "XLMRobertaForSequenceClassification reads the first token, and pooling is last, attention, max; the classifier is in "
        "head.safetensors, and head.py computes it",
    ),
    "pairs of a file": ("bert", {"pooling": ["mean"], "facts": {"text_pairs": True}}, "file", "the classifier is in head.safetensors"),
    "mean": (
        "bert",
        {"pooling": ["mean"], "text": {"strip_html": True, "truncation": "head_tail"}},
        "file",
        "text.strip_html: no part of the tokenizer's files",
    ),
    "ordered": (
        "roberta",
        {"pooling": ["first"], "problem": "ordinal", "labels": ["1", "2", "3"]},
        "",
        "the classifier, OrderedLogits, is no dense layer",
    ),
}  # fmt: skip


def used(folder):
    """The Python of a folder's README.md."""
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    return re.sub("^FOLDER = .*", f"FOLDER = {str(folder)!r}", code)


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("case", CASES)
def test_transformers_computes_what_the_run_does_and_a_backbone_starts_from_it(case, tmp_path, monkeypatch):
    family, settings, held_in, remark = CASES[case]
    if case.startswith("pairs"):
        monkeypatch.setattr(huggingface, "check_texts", lambda run: [f"{a}\t{b}".encode() for a, b in PAIRS])
    run = preset_run(tmp_path / "run", family, **settings)
    result = run_export(run, tmp_path / "models" / "m", format="huggingface")
    check, report = result.report["self_check"], result.report
    assert [result.path] == list(result.path.parent.iterdir()) and report["classifier"] == held_in
    assert check["rows"] >= 8 and check["texts"] >= 6 and check["texts_unequal"] <= check["texts"] / 4
    assert (remark is None) == (not report["remarks"])
    if remark:
        assert (
            any(remark in line for line in report["remarks"]) and f"note: {report['remarks'][0]}" in result.describe()
        )
        assert remark in (result.path / "README.md").read_text()

    again, opened = open_folder(str(result.path)), Run(run)
    tokenizer = PresetTokenizer.of_folder(again)
    assert tokenizer.assets() == opened.text.tokenizer.assets()
    ours, theirs = opened.model().backbone, backbone_of(result.path, tokenizer.model_ids)
    for weight, copied in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(weight, copied)

    if case in ("tanh", "hidden", "roberta"):
        import transformers

        classify = transformers.pipeline("text-classification", model=str(result.path), top_k=None)
        answers = classify(SENTENCES, truncation=True)
        for answer, expected in zip(answers, load(run).predict(SENTENCES), strict=True):
            found = {one["label"]: one["score"] for one in answer}
            assert found == pytest.approx(expected["probabilities"], abs=1e-5)
    if case == "pairs":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(used(result.path))  # what README.md says is to be done
        expected = load(run).predict([join_pair("A text.", "Another one.")])[0]
        assert ast.literal_eval(printed.getvalue())["score"] == pytest.approx(expected["probability"], abs=1e-5)
    if case == "pairs of a file":
        asked, printed = ["--pairs", *(side for pair in PAIRS[:2] for side in pair)], io.StringIO()
        monkeypatch.setattr("sys.argv", ["head.py", *asked])
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(result.path / "head.py"), run_name="__main__")
        answers = [ast.literal_eval(line) for line in printed.getvalue().splitlines()]
        expected = load(run).predict([join_pair(*pair) for pair in PAIRS[:2]])
        for answer, of_run in zip(answers, expected, strict=True):
            assert answer == pytest.approx(of_run["probabilities"], abs=1e-5)
    if case == "poolings":
        own = runpy.run_path(str(result.path / "head.py"))
        for answer, expected in zip(
            own["answers"](SENTENCES[:3], folder=result.path), load(run).predict(SENTENCES[:3])
        ):
            assert answer == pytest.approx(expected["probabilities"], abs=1e-5)


@pytest.mark.slow
def test_the_folder_is_proved_in_a_process_of_its_own(tmp_path):
    for package in huggingface.READ_WITH:
        pytest.importorskip(package)
    run = preset_run(tmp_path / "run", "bert", "mit", pooling=["mean"])
    result = run_export(run, tmp_path / "models" / "m", format="huggingface")
    assert 0 < result.report["self_check"]["largest_difference"] < 1e-4 and "self-check: " in result.describe()
    assert open_folder(str(result.path)).licence == "Apache-2.0"


@pytest.mark.slow
def test_what_is_wrong_is_not_written_and_what_is_not_asked_is_said(in_process, tmp_path, monkeypatch):
    run = preset_run(tmp_path / "run", "bert", pooling=["mean"])
    right = huggingface.head_tensors
    monkeypatch.setattr(huggingface, "head_tensors", lambda head: {k: v * 1.01 for k, v in right(head).items()})
    with pytest.raises(AssertionError, match=r"logits, co-batched: differs by"):
        run_export(run, tmp_path / "models" / "m", format="huggingface")
    assert not (tmp_path / "models").exists()
    monkeypatch.setattr(huggingface, "READ_WITH", ("torch", "no_such_package"))
    result = run_export(run, tmp_path / "models" / "m", format="huggingface")
    assert "self-check: none, no_such_package not installed" in result.describe() and "self_check" not in result.report


@pytest.mark.parametrize(
    "given, licence, line, fact",
    [
        ("unspecified", "mit", 'license: "mit"', "models/small, whose licence is mit"),
        ("unspecified", None, None, "models/small, whose licence is not stated there"),
        ("Apache-2.0", "mit", 'license: "Apache-2.0"', "models/small, whose licence is mit"),
    ],
)
def test_the_card_states_the_licence_of_the_weights_as_they_state_it(given, licence, line, fact):
    card = {**CARD, "license": given, "pretrained": {"from": "models/small", "licence": licence}}
    text = readme(card, "class", [], has_vectors=True, pairs=False)
    front = text.split("---")[1]
    assert (line in front) if line else ("license" not in front)
    assert f"* **Weights began as:** {fact}" in text and f"* **Licence:** {given}" in text


def test_what_is_no_classifier_over_a_pretrained_encoder_is_refused_by_name(run_dir, tmp_path):
    with pytest.raises(ExportError, match=r"backbone lstm: Hugging Face's layout is that of a pretrained model"):
        run_export(run_dir, tmp_path / "m", format="huggingface")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "x").touch()
    with pytest.raises(ExportError, match=r"something in it: a Hugging Face model goes to a new one"):
        run_export(run_dir, tmp_path / "m", format="huggingface")


def features(size, rows=400):
    """Outputs of a layer norm with random scale and offset, the greatest ones for a direction among them."""
    draw = np.random.default_rng(0)
    scale, offset, wanted = (draw.normal(c, 0.3, size).astype("float32") for c in (1, 0, 0))
    x = np.concatenate([draw.normal(0, 1, (rows, size)), [wanted * scale, -wanted * scale, np.eye(size)[0]]])
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    return (x * scale + offset).astype("float32"), (scale, offset), wanted


@pytest.mark.parametrize("family", ["bert", "distilbert", "albert", "roberta"])
@pytest.mark.parametrize("factor", [1e-3, 0.1, 3.0])
def test_one_layer_as_the_authors_two_is_as_near_as_float32_is(family, factor):
    encoder = read_architecture(architecture(family), "test")
    states, norm, wanted = features(encoder.features)
    kernel = np.stack([wanted, -2 * wanted, 0 * wanted], 1) * np.float32(factor)  # [D, C]
    bias = np.array([0.1, -3, 0.5], "float32")
    head = ClassifierHead(["first"], [(kernel, bias)], "single_label_classification", ["a", "b", "c"], 1.7)
    tensors, theirs = authors_head(encoder, head, norm), encoder.authors_head
    act = np.tanh if theirs.activation == "tanh" else lambda x: np.maximum(x, 0)
    inner = act(states @ tensors[f"{theirs.inner}.weight"].T + tensors[f"{theirs.inner}.bias"])
    found = inner @ tensors[f"{theirs.outer}.weight"].T + tensors[f"{theirs.outer}.bias"]
    exact = (states.astype("float64") @ kernel.astype("float64") + bias) / 1.7
    assert inner.dtype == found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=4e-7 * np.abs(exact).max())


def test_a_head_that_the_authors_classifier_cannot_compute_is_refused():
    norm = (np.ones(16, "float32"), np.zeros(16, "float32"))
    layer, wide = (np.zeros((16, 2), "float32"), np.zeros(2, "float32")), (np.zeros((16, 9)), np.zeros(9))
    hidden = [(np.zeros((16, 20), "float32"), np.zeros(20)), (np.zeros((20, 2), "float32"), np.zeros(2))]
    for family, layers, pooling, message in (
        ("bert", [layer], ["mean"], "BertForSequenceClassification reads the first token, and pooling is mean"),
        ("bert", hidden, ["first"], "has tanh between its layers, and task.hidden has ReLU"),
        ("distilbert", hidden, ["first"], "has 16 units between its layers, and 20 are needed"),
        ("roberta", [wide], ["first"], "has 16 units between its layers, and 18 are needed"),
    ):
        head = ClassifierHead(pooling, layers, "single_label_classification", ["a", "b"])
        with pytest.raises(DoesNotFitError, match=message):
            authors_head(read_architecture(architecture(family), "test"), head, norm)
