"""A translation model's SavedModel answers as Python does, alone and co-batched; every door opens to the same answers."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

import nlp_suite
from nlp_suite import cli
from nlp_suite.errors import ExportError, RequestError
from nlp_suite.export import run_export
from nlp_suite.export.model_card import as_markdown
from nlp_suite.export.op_check import check_ops
from nlp_suite.export.warmup import read_warmup
from nlp_suite.tasks.translation.export_predictor import SavedModelTranslation
from nlp_suite.tasks.translation.predictor import TranslationPredictor
from tests.export.conftest import Server
from tests.serving.slices import assert_slices_answer_as_all_rows
from tests.translation_models import PAIRS, make_run

SOURCES, TARGETS = [source for source, _ in PAIRS], [target for _, target in PAIRS]
HOSTILE = ["", " ", "日本語 👍 zzz", b"bad \xff\xfe the cat \x00", "the cat " * 40, "\ud800", "\n"]
TEXTS = [*SOURCES, *HOSTILE]
RUNS = {  # an own vocabulary in one; one refuses what is too long
    "gru": {"target_text": {}, "beam_size": 3, "coverage_penalty": 0.2, "max_tokens": 14},
    "transformer": {"beam_size": 3, "n_best": 2, "long_sources": "refuse", "max_tokens": 14},
}


class Exported:
    """A run, its export, and the three ways to ask it."""

    def __init__(self, name, folder):
        self.name, self.run = name, make_run(folder / "run", name, **RUNS[name])
        self.result = run_export(self.run, folder / "models" / "translator")
        self.python = nlp_suite.load(self.run)
        self.loaded = nlp_suite.load(folder / "models" / "translator")
        self.server = Server(shutil.copytree(self.result.path, folder / "elsewhere" / "7"))
        self.refuses = RUNS[name].get("long_sources") == "refuse"
        self.n_best = RUNS[name].get("n_best", 3)

    def allowed(self, texts):
        """Texts that are not refused for their length."""
        return [text for text in texts if not self.refuses or len(text) < 100]


@pytest.fixture(scope="module", params=["gru", pytest.param("transformer", marks=pytest.mark.slow)])
def exported(request, tmp_path_factory):
    """An export of each run, made once."""
    return Exported(request.param, tmp_path_factory.mktemp(request.param))


def raw(texts):
    return [text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass") for text in texts]


def assert_best(answer, expected):
    assert [text.decode("utf-8") for text in answer["translation"]] == [each["translation"] for each in expected]
    assert answer["length"].tolist() == [each["length"] for each in expected]
    assert answer["truncated"].tolist() == [each["truncated"] for each in expected]
    for name in ("score", "log_prob"):
        np.testing.assert_allclose(answer[name], [each[name] for each in expected], atol=1e-4)


def test_translations_are_pythons_alone_and_co_batched(exported):
    texts = exported.allowed(TEXTS)
    expected = exported.python.translate(texts)
    assert_best(exported.server("serving_default", text=raw(texts)), expected)
    for text, each in zip(texts, expected, strict=True):
        assert_best(exported.server("serving_default", text=raw([text])), [each])
    assert expected[4]["translation"] == "" and expected[4]["length"] == 0 and expected[4]["score"] == 0


def test_a_text_that_is_too_long(exported):
    long = "the cat " * 40
    answer = exported.server("serving_default", text=raw([long, SOURCES[0]]))
    assert answer["truncated"].tolist() == [True, False]
    if exported.refuses:
        assert answer["translation"][0] == b"" and answer["length"].tolist()[0] == 0
        with pytest.raises(RequestError, match=r"text 1 has 81 tokens; allowed: 40 \(text.max_length\)"):
            exported.python.translate([long])
        with pytest.raises(RequestError, match=r"text 258 has more than 40 tokens; allowed: 40 \(text.max_length\)"):
            exported.loaded.translate([SOURCES[0], long], before=256)
    else:
        cut = exported.python.translate(["the cat " * 19 + "the"])[0]  # 39 tokens and END
        assert answer["translation"][0].decode("utf-8") == cut["translation"] and not cut["truncated"]
        assert answer["length"][0] == cut["length"] > 0


def test_a_text_that_is_too_long_is_named_by_every_signature(exported):
    """Where such texts are refused, none of them has an answer that could be taken for one."""
    long, short, server = "the cat " * 40, SOURCES[0], exported.server
    ids = np.full((3, 41), 5, "int32")
    for name, given in (
        ("translate_n_best", {"text": raw([long, short])}),
        ("attention", {"text": raw([long, short])}),
        ("tokens", {"tokens": ids[:2], "length": np.array([41, 3], "int32")}),
    ):
        answer = server(name, **given)
        assert answer["truncated"].tolist() == [True, False], name
        lengths = answer[{"attention": "target_length", "translate_n_best": "lengths"}.get(name, "length")]
        lengths = lengths.reshape(2, -1)[:, 0]
        assert (lengths[0] == 0) == exported.refuses and lengths[1] > 0, name
    sources, targets = [long, short, short], [TARGETS[0], "der Hund " * 40, TARGETS[0]]
    answer = server("score", source=raw(sources), target=raw(targets))
    assert answer["truncated"].tolist() == [True, True, False]
    assert (answer["num_tokens"] > 0).tolist() == (answer["log_prob"] > -1e9).tolist()
    if exported.refuses:
        assert answer["log_prob"][:2].tolist() == [-1e9] * 2 and answer["num_tokens"][:2].tolist() == [0, 0]
        assert answer["perplexity"][:2] == pytest.approx(np.exp(80.0), rel=1e-5)
        assert not answer["tokens"][:2].astype(bool).any() and not answer["token_log_probs"][:2].any()
        with pytest.raises(RequestError, match=r"pair 9 has more .* 40 of a source .* 40 of a target"):
            exported.loaded.score(sources[2:] + sources, targets[2:] + targets, before=7)
        with pytest.raises(RequestError, match=r"text 9 has 81 tokens"):
            exported.python.score(sources[2:] + sources, targets[2:] + targets, before=7)
    else:
        expected = exported.python.score(sources, targets)
        assert [each["truncated"] for each in expected] == [True, True, False]
        assert_same_scores(exported.loaded.score(sources, targets), expected)
    assert answer["log_prob"][2] == pytest.approx(exported.python.score([short], TARGETS[:1])[0]["log_prob"], abs=1e-3)


def test_n_best_lists_are_pythons(exported):
    texts, count = exported.allowed(TEXTS), exported.n_best
    answer = exported.server("translate_n_best", text=raw(texts))
    assert answer["translations"].shape == answer["scores"].shape == (len(texts), count)
    for row, each in enumerate(exported.python.translate(texts, n_best=count)):
        hypotheses = each["hypotheses"]
        there = len(hypotheses)
        assert [t.decode("utf-8") for t in answer["translations"][row, :there]] == [
            h["translation"] for h in hypotheses
        ]
        assert answer["lengths"][row, :there].tolist() == [h["length"] for h in hypotheses]
        for name in ("score", "log_prob"):
            np.testing.assert_allclose(answer[f"{name}s"][row, :there], [h[name] for h in hypotheses], atol=1e-4)
        assert (answer["scores"][row, there:] == -1e9).all() and (answer["translations"][row, there:] == b"").all()
    assert there == 1, "the last text is empty and has one translation"


def test_attention_is_pythons(exported):
    texts = exported.allowed(TEXTS)
    answer = exported.server("attention", text=raw(texts))
    for row, each in enumerate(exported.python.translate(texts, attention=True)):
        s, t = int(answer["source_length"][row]), int(answer["target_length"][row])
        assert [token.decode() for token in answer["source_tokens"][row][:s]] == each["source_tokens"]
        assert [token.decode() for token in answer["target_tokens"][row][:t]] == each["tokens"]
        weights = answer["weights"][row]  # [T, S]
        np.testing.assert_allclose(weights[:t, :s], np.reshape(each["attention"], (t, s)), atol=1e-4)
        np.testing.assert_allclose(weights[:t].sum(axis=1), 1, atol=1e-5)
        assert not weights[t:].any() and not weights[:, s:].any()
        assert not answer["target_tokens"][row][t:].astype(bool).any()


def test_scores_are_pythons(exported):
    sources = exported.allowed(TEXTS)
    targets = [*TARGETS, "", "die Katze", b"\xff Hund", "der " * 6, "日", "x"][: len(sources)]
    sources = sources[: len(targets)]
    expected = exported.python.score(sources, targets)
    answer = exported.server("score", source=raw(sources), target=raw(targets))
    for row, each in enumerate(expected):
        count = each["num_tokens"]
        assert answer["num_tokens"][row] == answer["length"][row] == count
        assert [token.decode() for token in answer["tokens"][row][:count]] == each["tokens"]
        np.testing.assert_allclose(answer["token_log_probs"][row, :count], each["token_log_probs"], atol=1e-4)
        assert not answer["token_log_probs"][row, count:].any()
        assert answer["log_prob"][row] == pytest.approx(each["log_prob"], abs=1e-3)
        assert answer["perplexity"][row] == pytest.approx(each["perplexity"], rel=1e-3)


def test_token_ids_are_translated_whatever_stands_behind_their_end(exported):
    rows = exported.python.text.encode(SOURCES)
    length = np.array([len(row) for row in rows], "int32")
    tokens = exported.python.text.pad(rows)
    junk = np.where(np.arange(tokens.shape[1]) < length[:, None], tokens, 7)
    expected = exported.python.translate(SOURCES)
    for given, count in ((tokens, length), (junk, length), (tokens, length - 1)):  # END may be left out
        answer = exported.server("tokens", tokens=given, length=count)
        found = [ids[:n] for ids, n in zip(answer["tokens"], answer["length"], strict=True)]
        assert exported.python.target_text.decode(found) == [each["translation"] for each in expected]
        np.testing.assert_allclose(answer["score"], [each["score"] for each in expected], atol=1e-4)
    answer = exported.server("tokens", tokens=[[5, 0, 5], [5, 1, 5], [5, 9999, -1]], length=[3, 3, 0])
    assert answer["length"][0] > 0 and answer["length"][2] == answer["score"][2] == 0
    assert answer["tokens"][0].tolist() == answer["tokens"][1].tolist()  # padding counts as unknown
    for tokens, length in [([[5, 9999]], [2]), ([[5, -3]], [2]), ([[5, 5]], [3]), ([[5, 5]], [-1]), ([[5]], [1, 1])]:
        with pytest.raises(tf.errors.InvalidArgumentError, match="tokens"):
            exported.server("tokens", tokens=tokens, length=length)


def test_an_empty_batch_has_an_empty_answer(exported):
    none = np.array([], object)
    assert exported.server("serving_default", text=none)["translation"].shape == (0,)
    assert exported.server("translate_n_best", text=none)["scores"].shape == (0, exported.n_best)
    assert exported.server("attention", text=none)["weights"].shape[0] == 0
    assert exported.server("score", source=none, target=none)["log_prob"].shape == (0,)
    ids = {"tokens": np.zeros((0, 3), "int32"), "length": np.zeros((0,), "int32")}
    assert exported.server("tokens", **ids)["tokens"].shape[0] == 0


def test_the_export_was_checked_and_holds_no_xla_op(exported):
    check, path = exported.result.report["self_check"], exported.result.path
    assert check["largest_difference"] <= 1e-4 and check["rows"] > 5 and check["xla_off"]
    warmup = read_warmup(path)
    assert check["warmup_records"] == len(warmup) == 10
    assert {case.signature for case in warmup} == set(exported.result.signatures)
    ops = json.loads((path / "assets.extra" / "ops.json").read_text())
    assert not [op for op in ops["ops"] if op.startswith("Xla")] and ops["missing"] == []
    assert ops["ops"] == check_ops(path).ops


def test_signatures_have_a_batch_in_every_input_and_output(exported):
    described = exported.result.signatures
    assert sorted(described) == ["attention", "score", "serving_default", "tokens", "translate_n_best"]
    short = described["serving_default"]
    assert short["inputs"] == {"text": "string [B]"}
    assert short["outputs"] == {
        "translation": "string [B]",
        "score": "float32 [B]",
        "log_prob": "float32 [B]",
        "length": "int32 [B]",
        "truncated": "bool [B]",
    }
    assert described["attention"]["outputs"]["weights"] == "float32 [B, ?, ?]"
    assert {each["outputs"]["truncated"] for each in described.values()} == {"bool [B]"}
    assert all(
        "[B" in each
        for signature in described.values()
        for side in ("inputs", "outputs")
        for each in signature[side].values()
    )
    card = json.loads((exported.result.path / "assets.extra" / "model_card.json").read_text())
    assert card["task"] == "translation" and card["labels"] == []
    page = as_markdown({**card, "metrics": {"bleu": {"signature": "nrefs:1|case:mixed"}}})
    assert "| bleu · signature | nrefs:1\\|case:mixed |" in page


def assert_same_scores(one, other):
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys() and a["tokens"] == b["tokens"] and a["truncated"] == b["truncated"]
        assert a["log_prob"] == pytest.approx(b["log_prob"], abs=1e-3)


def assert_same_doors(one, other, texts, **options):
    for a, b in zip(one.translate(texts, **options), other.translate(texts, **options), strict=True):
        for x, y in zip(a["hypotheses"], b["hypotheses"], strict=True):
            assert x["translation"] == y["translation"] and x["length"] == y["length"]
            assert x["score"] == pytest.approx(y["score"], abs=1e-4)
            assert x["log_prob"] == pytest.approx(y["log_prob"], abs=1e-4)
        assert a["truncated"] == b["truncated"]
        if options.get("attention"):
            assert a["tokens"] == b["tokens"] and a["source_tokens"] == b["source_tokens"]
            np.testing.assert_allclose(a["attention"], b["attention"], atol=1e-4)
    assert_same_scores(one.score(SOURCES, TARGETS), other.score(SOURCES, TARGETS))
    assert one.translate([]) == other.translate([]) == one.score([], []) == other.score([], []) == []


def test_run_and_saved_model_answer_alike(exported):
    assert isinstance(exported.loaded, SavedModelTranslation) and isinstance(exported.python, TranslationPredictor)
    texts = exported.allowed(TEXTS)
    assert_same_doors(exported.python, exported.loaded, texts)
    assert_same_doors(exported.python, exported.loaded, texts, n_best=2)
    assert_same_doors(exported.python, exported.loaded, texts, attention=True)
    many = [SOURCES[n % 4] for n in range(70)]  # more than two batches
    answers = exported.loaded.translate(many)
    assert [a["translation"] for a in answers[:4]] * 17 == [a["translation"] for a in answers[:68]]


def test_what_an_export_does_not_offer_is_said(exported):
    loaded = exported.loaded
    with pytest.raises(
        ExportError, match="beam_size: fixed in an export by the settings of its task; use the run folder"
    ):
        loaded.translate(["the cat"], beam_size=3)
    with pytest.raises(ExportError, match="temperature, seed: fixed in an export"):
        loaded.translate(["the cat"], temperature=1.0, seed=1)
    with pytest.raises(RequestError, match=f"n_best is 4; allowed: whole numbers from 1 to {exported.n_best}"):
        loaded.translate(["the cat"], n_best=4)
    with pytest.raises(RequestError, match="attention with n_best 2"):
        loaded.translate(["the cat"], n_best=2, attention=True)
    with pytest.raises(RequestError, match="1 sources and 2 targets"):
        loaded.score(["the cat"], ["die", "Katze"])
    with pytest.raises(TypeError, match="a list of texts is needed"):
        loaded.translate("the cat")


@pytest.mark.slow
@pytest.mark.parametrize("exported", ["gru"], indirect=True)
def test_run_and_keras_file_answer_alike(exported, tmp_path):
    result = run_export(exported.run, tmp_path / "m.keras", format="keras")
    assert result.report["self_check"]["largest_difference"] < 1e-4
    shutil.copy(result.path, tmp_path / "moved.keras")
    found = nlp_suite.load(tmp_path / "moved.keras")
    assert isinstance(found, TranslationPredictor)
    assert (found.target_text is found.text) == (exported.python.target_text is exported.python.text)
    assert_same_doors(exported.python, found, exported.allowed(TEXTS), n_best=2)


@pytest.mark.parametrize("exported", ["gru"], indirect=True)
def test_the_command_line_translates_with_an_export(exported, monkeypatch):
    path = str(exported.result.path.parent)
    expected = exported.python.translate([*SOURCES, ""], n_best=2)
    done = CliRunner().invoke(cli.app, ["translate", path, *SOURCES, ""])
    assert done.exit_code == 0, done.output
    assert done.stdout.split("\n") == [*(each["translation"] for each in expected), ""]
    done = CliRunner().invoke(cli.app, ["translate", path, *SOURCES, "", "--n-best", "2", "--format", "jsonl"])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [[h["translation"] for h in line["hypotheses"]] for line in lines] == [
        [h["translation"] for h in each["hypotheses"]] for each in expected
    ]


def test_attention_in_slices_is_that_of_all_rows(exported):
    assert_slices_answer_as_all_rows(exported.result.path, "attention")
