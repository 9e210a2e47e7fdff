"""A language model's SavedModel answers as Python does, alone and co-batched; every door opens to the same answers."""

import json
import shutil

import numpy as np
import pytest

import nlp_suite
from nlp_suite.errors import ExportError
from nlp_suite.export import run_export
from nlp_suite.export.op_check import check_ops
from nlp_suite.export.warmup import read_warmup
from nlp_suite.tasks.language_model.export_predictor import SavedModelLanguageModel
from nlp_suite.tasks.language_model.predictor import LanguageModelPredictor
from nlp_suite.tasks.language_model.signatures import LanguageModelSignatures
from nlp_suite.text.text_layer import TextLayer
from tests.export.conftest import Server
from tests.language_models import make_run
from tests.serving.slices import assert_slices_answer_as_all_rows

HOSTILE = [
    "",
    " ",
    "\n",
    "the cat\n\n",
    "日本語 👍 zzz",
    b"bad \xff\xfe and \x00 inside",
    "the " * 40,
    "a\nb\n\nc",
    "\ud800",
]
LONG = ["the cat sees a dog and the bird " * 6, "the bird"]  # far beyond every window
PROMPTS = ["the cat", "", "a dog sees\nthe", "xyzzy 👍", "the bird"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("language"), "lstm", dropout=0.3)


@pytest.fixture(scope="module")
def python(run_dir):
    found = nlp_suite.load(run_dir)
    assert isinstance(found, LanguageModelPredictor) and not found.stop_at_end
    return found


@pytest.fixture(scope="module")
def exported(run_dir, tmp_path_factory):
    return run_export(run_dir, tmp_path_factory.mktemp("models") / "writer")


@pytest.fixture(scope="module")
def server(exported, tmp_path_factory):
    """The export, moved to another folder."""
    return Server(shutil.copytree(exported.path, tmp_path_factory.mktemp("elsewhere") / "7"))


@pytest.fixture(scope="module")
def loaded(exported):
    found = nlp_suite.load(exported.path.parent)
    assert isinstance(found, SavedModelLanguageModel)
    return found


def request(prompts, **options):
    """The inputs of `generate`, one value for all rows or one a row."""
    values = {
        "max_tokens": 10,
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "seed": 0,
        "stop": b"",
        **options,
    }
    kinds = {"max_tokens": "int32", "top_k": "int32", "seed": "int32", "stop": object}
    columns = {
        name: np.resize(np.array(value, kinds.get(name, "float32")), len(prompts)) for name, value in values.items()
    }
    return {"prompt": raw(prompts), **columns}


def raw(texts):
    return [t if isinstance(t, bytes) else t.encode("utf-8", "surrogatepass") for t in texts]


def assert_same_text(answer, expected, rows=None):
    assert [text.decode("utf-8") for text in answer["text"]] == [e["text"] for e in expected]
    assert answer["length"].tolist() == [e["length"] for e in expected]
    np.testing.assert_allclose(answer["log_prob"], [e["log_prob"] for e in expected], atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"temperature": 0.8, "seed": 5},
        {"temperature": 1.3, "top_k": 7, "top_p": 0.9, "repetition_penalty": 1.4, "seed": 11},
        {"temperature": 1.0, "top_k": 10_000, "seed": 3},
        {"max_tokens": 0},
        {"max_tokens": 20, "seed": -4, "temperature": 2.0},
    ],
    ids=str,
)
def test_generate_is_python_alone_and_co_batched(server, python, options):
    expected = python.generate(PROMPTS, **{"max_tokens": 10, **options})
    answer = server("generate", **request(PROMPTS, **options))
    assert_same_text(answer, expected)
    for prompt, each in zip(PROMPTS[:3], expected):
        assert_same_text(server("generate", **request([prompt], **options)), [each])


def test_every_row_has_its_own_options(server, python):
    options = {"max_tokens": [3, 10, 0, 20, 7], "temperature": [0.0, 0.7, 1.0, 1.5, 1.0], "seed": [1, 2, 3, 4, 5]}
    options |= {"top_k": [0, 3, 0, 5, 1], "top_p": [1.0, 1.0, 0.5, 0.9, 1.0]}
    assert_same_text(server("generate", **request(PROMPTS, **options)), python.generate(PROMPTS, **options))


def test_the_short_signature_samples_with_its_defaults(server, python):
    expected = python.generate(PROMPTS, max_tokens=20, temperature=0.8, seed=0)
    assert_same_text(server("serving_default", prompt=raw(PROMPTS)), expected)


def test_line_breaks_at_the_beginning_of_a_text_stay(server, python):
    seeds = list(range(40))
    options = {"max_tokens": 4, "temperature": 1.5, "seed": seeds}
    expected = python.generate([""] * 40, **options)
    assert any(e["text"].startswith("\n") for e in expected)
    assert_same_text(server("generate", **request([""] * 40, **options)), expected)


def test_max_tokens_out_of_range_is_clamped(server):
    answer = server("generate", **request(["the"] * 3, max_tokens=[-5, 1000, 20]))
    assert answer["length"].tolist() == [0, 20, 20] and answer["text"][0] == b"" and answer["log_prob"][0] == 0


def test_a_stop_string_of_each_row(server, python):
    whole = python.generate(["the cat"], max_tokens=15, temperature=0.0)[0]["text"]
    stops = [whole[3:9], whole[5:6], "", "zzz", whole[8:20]]
    prompts = ["the cat"] * 5
    answer = server("generate", **request(prompts, max_tokens=15, stop=raw(stops)))
    expected = [python.generate(["the cat"], max_tokens=15, temperature=0.0, stop=[stop])[0] for stop in stops]
    assert_same_text(answer, expected)
    assert answer["length"][2] == answer["length"][3] == 15 > answer["length"][:2].max()


@pytest.mark.parametrize(
    "texts", [HOSTILE, ["the cat sees a dog\nand the old bird"], [""]], ids=["hostile", "one", "empty"]
)
def test_scores_are_pythons(server, python, texts):
    expected = python.score(texts)
    answer = server("score", text=raw(texts))
    longest = max(e["num_tokens"] for e in expected)
    assert answer["tokens"].shape == answer["token_log_probs"].shape == (len(texts), longest)
    for row, e in enumerate(expected):
        count = e["num_tokens"]
        assert answer["num_tokens"][row] == answer["length"][row] == count
        assert [t.decode() for t in answer["tokens"][row]] == e["tokens"] + [""] * (longest - count)
        np.testing.assert_allclose(answer["token_log_probs"][row, :count], e["token_log_probs"], atol=1e-5)
        assert not answer["token_log_probs"][row, count:].any()
        assert answer["log_prob"][row] == pytest.approx(e["log_prob"], abs=1e-3)
        assert answer["perplexity"][row] == pytest.approx(e["perplexity"], rel=1e-4)


def test_what_the_graph_reads_of_long_texts_is_what_it_says(python):
    """At most `max_scored` tokens and `text.max_length` of a line, said by `truncated`; of prompts always the end."""
    import tensorflow as tf

    settings = python.settings.model_copy(update={"max_scored": 9, "max_prompt": 6})
    layer = TextLayer(python.text.settings.model_copy(update={"max_length": 5}), python.text.tokenizer)
    short = LanguageModelPredictor(python.model, layer, settings, False)
    signatures = LanguageModelSignatures(python.model, short)
    module, functions = signatures.module, signatures.functions()
    texts = ["the cat sees a", "the cat sees a dog", "a\n" * 4 + "\n", "a\n" * 5, "a b\n1 2 3 4 5\nc", ""]
    answer = functions["score"](tf.constant(texts))
    assert answer["truncated"].numpy().tolist() == [False, True, False, True, True, False]
    assert answer["length"].numpy().tolist() == [5, 5, 9, 9, 9, 1]
    assert module is not None

    ends = {
        "the bird sings the old cat sees a dog": "the old cat sees a dog",
        "a dog\nthe bird sings the old": "\nthe bird sings the old",
        "the cat": "the cat",
        "": "",
    }
    found = functions["next"](tf.constant(list(ends)))["probabilities"].numpy()
    for end, row, expected in zip(ends.values(), found, short.next_tokens(list(ends))):
        np.testing.assert_allclose(row, [p for _, p in expected], atol=1e-5)
        np.testing.assert_allclose(row, [p for _, p in python.next_tokens([end])[0]], atol=1e-5)

    scored = next(case for case in signatures.cases([b"the cat", b"a\n" * 20]) if case.signature == "score")
    assert scored.inputs["text"] == [b"the cat"] and not scored.outputs["truncated"].any()


def test_next_tokens_are_pythons(server, python):
    prompts = [*PROMPTS, *HOSTILE]
    answer = server("next", prompt=raw(prompts))
    for row, expected in enumerate(python.next_tokens(prompts, 10)):
        np.testing.assert_allclose(answer["probabilities"][row], [p for _, p in expected], atol=1e-5)
        assert [t.decode() for t in answer["tokens"][row][:5]] == [t for t, _ in expected[:5]]
    assert (answer["probabilities"].sum(axis=1) <= 1 + 1e-5).all()


def test_hostile_prompts_are_continued_as_in_python(server, python):
    expected = python.generate(HOSTILE, max_tokens=6, temperature=0.0)
    assert_same_text(server("generate", **request(HOSTILE, max_tokens=6)), expected)
    for text in server("serving_default", prompt=raw(HOSTILE))["text"]:
        text.decode("utf-8")  # raises where it is not valid


def test_an_empty_batch_has_an_empty_answer(server):
    none = np.array([], object)
    assert server("serving_default", prompt=none)["text"].shape == (0,)
    assert server("score", text=none)["token_log_probs"].shape[0] == 0
    assert server("next", prompt=none)["tokens"].shape == (0, 10)
    answer = server("generate", **{k: v[:0] if k != "prompt" else none for k, v in request(["x"]).items()})
    assert answer["text"].shape == answer["length"].shape == answer["log_prob"].shape == (0,)


def test_the_export_was_checked_and_holds_no_xla_op(exported):
    check = exported.report["self_check"]
    assert check["largest_difference"] <= 1e-5 and check["rows"] > 20 and check["xla_off"]
    assert check["warmup_records"] == len(read_warmup(exported.path)) == 8
    assert {case.signature for case in read_warmup(exported.path)} == set(exported.signatures)
    ops = json.loads((exported.path / "assets.extra" / "ops.json").read_text())
    assert not [op for op in ops["ops"] if op.startswith("Xla")] and ops["missing"] == []
    assert ops["ops"] == check_ops(exported.path).ops and ops["ops"]["While"] + ops["ops"].get("StatelessWhile", 0) > 0


def test_signatures_have_a_batch_in_every_input_and_output(exported):
    assert sorted(exported.signatures) == ["generate", "next", "score", "serving_default"]
    short, full, score, following = (
        exported.signatures[name] for name in ("serving_default", "generate", "score", "next")
    )
    assert short["inputs"] == {"prompt": "string [B]"}
    assert (
        short["outputs"] == full["outputs"] == {"text": "string [B]", "log_prob": "float32 [B]", "length": "int32 [B]"}
    )
    assert set(full["inputs"].values()) == {"string [B]", "int32 [B]", "float32 [B]"} and len(full["inputs"]) == 8
    assert score["outputs"]["truncated"] == "bool [B]"
    assert score["outputs"]["tokens"] == "string [B, ?]" and score["outputs"]["token_log_probs"] == "float32 [B, ?]"
    assert following["outputs"] == {"tokens": "string [B, 10]", "probabilities": "float32 [B, 10]"}
    assert exported.curl.endswith("http://localhost:8501/v1/models/writer:predict")


def test_the_model_card_knows_that_there_are_no_labels(exported):
    extra = exported.path / "assets.extra"
    card = json.loads((extra / "model_card.json").read_text())
    assert card["task"] == "language_model" and card["labels"] == [] and card["license"] == "Apache-2.0"
    page = (extra / "model_card.md").read_text()
    assert page.startswith("# writer") and "Labels" not in page and "Every text gets one of the labels" not in page
    assert "What it writes is likely text, not fact" in page


def assert_same_doors(one, other, texts=HOSTILE):
    prompts = texts if texts is LONG else PROMPTS
    for options in (
        {"max_tokens": 8, "temperature": 1.1, "top_k": 9, "seed": list(range(len(prompts))), "stop": ["e"]},
        {"max_tokens": 10, "temperature": 0.0},
    ):
        for a, b in zip(one.generate(prompts, **options), other.generate(prompts, **options), strict=True):
            assert a == {**b, "log_prob": pytest.approx(b["log_prob"], abs=1e-4)}
    for a, b in zip(one.score(texts), other.score(texts), strict=True):
        assert all(a[name] == b[name] for name in ("tokens", "num_tokens", "truncated"))
        assert a["token_log_probs"] == pytest.approx(b["token_log_probs"], abs=1e-5)
        assert a["perplexity"] == pytest.approx(b["perplexity"], rel=1e-4)
    for a, b in zip(one.next_tokens(prompts, 5), other.next_tokens(prompts, 5), strict=True):
        assert [t for t, _ in a] == [t for t, _ in b]
        assert [p for _, p in a] == pytest.approx([p for _, p in b], abs=1e-5)
    assert one.score([]) == other.score([]) == one.next_tokens([]) == other.next_tokens([]) == []
    assert one.generate([], max_tokens=5) == other.generate([], max_tokens=5) == []


def test_run_and_saved_model_answer_alike(python, loaded):
    assert_same_doors(python, loaded)
    many = [f"{word} cat" for word in ("the", "a", "old")] * 11  # more than one batch
    answers = loaded.score(many)
    assert len(answers) == 33 and [a["tokens"][0] for a in answers] == ["the", "a", "old"] * 11


@pytest.mark.slow
def test_run_and_keras_file_answer_alike(python, run_dir, tmp_path):
    result = run_export(run_dir, tmp_path / "m.keras", format="keras")
    assert result.report["self_check"]["largest_difference"] < 1e-4
    shutil.copy(result.path, tmp_path / "moved.keras")
    found = nlp_suite.load(tmp_path / "moved.keras")
    assert isinstance(found, LanguageModelPredictor) and found.stop_at_end == python.stop_at_end
    assert_same_doors(python, found)
    beams = [m.generate(PROMPTS[:2], max_tokens=5, beam_size=2) for m in (python, found)]
    assert [b["text"] for b in beams[0]] == [b["text"] for b in beams[1]]


def test_what_an_export_does_not_offer_is_said(loaded):
    with pytest.raises(ExportError, match="no beam search: use its run folder"):
        loaded.generate(["the"], beam_size=3)
    with pytest.raises(ExportError, match=r"takes one stop string, got \['a', 'b'\]"):
        loaded.generate(["the"], stop=["a", "b"])
    with pytest.raises(ValueError, match="stop has b'e'; allowed: strings"):
        loaded.generate(["the"], stop=[b"e"])
    with pytest.raises(ValueError, match="top is 11; allowed: whole numbers from 1 to 10"):
        loaded.next_tokens(["the"], 11)
    for ask in (loaded.score, loaded.generate, loaded.next_tokens):
        with pytest.raises(TypeError, match="a list of texts is needed"):
            ask("the cat")


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone, sections",
    [
        ("transformer-sinusoidal", {}),
        ("transformer-rotary", {"text": {"tokenizer": "byte", "collapse_spaces": False}}),
        ("gru", {"text": {"tokenizer": "character"}, "softmax": "adaptive", "cutoffs": [6, 15]}),
        ("rnn", {"source": {"documents": "line"}, "tie_embeddings": False}),
    ],
)
def test_every_backbone_answers_as_python(backbone, sections, tmp_path):
    result = run_export(make_run(tmp_path / "run", backbone, **sections), tmp_path / "m")
    python, loaded = nlp_suite.load(tmp_path / "run"), nlp_suite.load(tmp_path / "m")
    assert python.stop_at_end == (backbone == "rnn")
    assert result.report["self_check"]["largest_difference"] <= 1e-5
    assert_same_doors(python, loaded)
    assert_same_doors(python, loaded, LONG)


def test_scores_in_slices_are_those_of_all_rows(exported):
    assert_slices_answer_as_all_rows(exported.path, "score")
