"""The signature `translate_xla`: the answers of `serving_default`, where XLA is on; the endpoint's own way to it."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from nlp_suite.config import TextSettings
from nlp_suite.errors import ExportError
from nlp_suite.export import run_export
from nlp_suite.export.op_check import check_ops
from nlp_suite.export.warmup import read_warmup
from nlp_suite.serving.doctor import examine
from nlp_suite.tasks.translation import compiled
from nlp_suite.text.text_layer import TextLayer
from tests.serving.endpoint import Command
from tests.translation_models import PAIRS, make_run

TEXTS = [*(source for source, _ in PAIRS), "", "the cat " * 11, "日本語 👍", "the cat " * 40]
RULES = {  # all that the search can be told
    "gru": {"beam_size": 3, "coverage_penalty": 0.2, "max_tokens": 14, "no_repeat_ngram": 2, "min_length": 2},
    "transformer": {"beam_size": 1, "long_sources": "refuse", "max_tokens": 30, "max_length_extra": 4},
}


@pytest.fixture(scope="module", params=RULES)
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    run = make_run(folder / "run", request.param, **RULES[request.param])
    return run_export(run, folder / "models" / "translator", xla=True)


def test_widths_end_with_what_is_read():
    assert compiled.widths(100) == [16, 32, 64, 100]
    assert compiled.widths(64) == [16, 32, 64] and compiled.widths(10) == [10] and compiled.widths(17) == [16, 17]


@pytest.mark.parametrize("rows, whole", [(0, 1), (1, 1), (3, 4), (1024, 1024), (1025, 2048)])
def test_rows_are_filled_up_to_a_power_of_two(rows, whole):
    text, count = compiled.fill_to_power_of_two(tf.fill([rows], "a"))
    assert text.numpy().tolist() == [b"a"] * rows + [b""] * (whole - rows) and int(count) == rows


@pytest.mark.parametrize("tokenizer", ["word", "character"])
@pytest.mark.parametrize("texts", [["the cat sees"], ["日本語の文章には空白がない"], ["  "], []])
def test_there_is_a_text_of_every_width(tokenizer, texts):
    settings = TextSettings(tokenizer={"name": tokenizer}, add_end=True, max_length=70)
    text = TextLayer.train(settings, [source for source, _ in PAIRS])
    found = compiled.texts_of_all_widths(SimpleNamespace(text=text), [each.encode() for each in texts])
    lengths = [len(row) for row in text.encode(found)]
    assert [low < n <= high for low, n, high in zip((0, 16, 32, 64), lengths, (16, 32, 64, 70), strict=True)] == [
        True
    ] * 4


@pytest.mark.slow
def test_the_answers_are_those_of_the_search_that_is_not_compiled(exported):
    signatures = tf.saved_model.load(str(exported.path)).signatures
    for texts in (TEXTS, *([text] for text in TEXTS[4:7]), TEXTS[:3], []):
        given = tf.constant([text.encode() for text in texts], tf.string)
        wanted, found = (signatures[name](text=given) for name in ("serving_default", "translate_xla"))
        assert found.keys() == wanted.keys()
        for name in ("translation", "length", "truncated"):
            np.testing.assert_array_equal(found[name], wanted[name])
        for name in ("score", "log_prob"):
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-4)


@pytest.mark.slow
def test_a_stock_server_can_still_be_given_the_export(exported):
    """Nothing but `translate_xla` needs XLA, and the warm-up file does not ask for that."""
    path, check = exported.path, exported.report["self_check"]
    assert check["compiled"]["rows"] > 5 and check["compiled"]["xla_off"] is False and check["xla_off"]
    assert check_ops(path, compiled=("translate_xla",)).ok
    assert [problem.op for problem in check_ops(path).problems] == ["_XlaMustCompile"]
    report = examine(path)
    found = {each.name: each for each in report.checks}
    assert report.ok and found["XLA"].ok is None and "met by translate_xla" in found["XLA"].message
    warmup = read_warmup(path)
    assert "translate_xla" not in {case.signature for case in warmup}
    shapes = [len(case.inputs["text"][0].split()) + 1 for case in warmup[-3:]]  # a word a token, and END
    assert [low < shape <= high for low, shape, high in zip((0, 16, 32), shapes, (16, 32, 40))] == [True] * 3


@pytest.mark.slow
@pytest.mark.parametrize("exported", ["transformer"], indirect=True)
def test_the_endpoint_translates_a_text_alone_by_it_where_xla_is_on(exported, tmp_path):
    shutil.copytree(exported.path, tmp_path / "m" / "1")
    answers = []
    for flags in ((), ("--xla_cpu_compilation_enabled",), ("--xla_cpu_compilation_enabled", "--enable_batching")):
        with Command(f"--model_base_path={tmp_path / 'm'}", "--model_name=m", *flags) as endpoint:
            endpoint.wait_ready()
            for texts in (TEXTS[:1], TEXTS[:3], TEXTS[4:5]):
                answers.append(endpoint.rest("POST", "/v1/models/m:predict", {"instances": texts}).json["predictions"])
            only, _ = endpoint.predict("m", {"text": np.array([TEXTS[0].encode()], object)}, outputs=["length"])
            assert list(only) == ["length"] and only["length"].tolist() == [answers[-3][0]["length"]]
            refused = endpoint.rest(
                "POST", "/v1/models/m:predict", {"instances": TEXTS[:1], "signature_name": "translate_xla"}
            )
            assert (refused.status == 200) == bool(flags)
            if not flags:
                assert "compil" in refused.json["error"].lower(), refused.json
            code, log = endpoint.end(timeout=180)  # XLA cannot be interrupted while it compiles
            used = "translate_xla answers serving_default of one row" in log
            assert not code and used == (flags == ("--xla_cpu_compilation_enabled",)), log
    for i in range(3):
        for other in answers[3 + i :: 3]:
            for row, wanted in zip(other, answers[i], strict=True):
                assert row["translation"] == wanted["translation"]
                assert row["log_prob"] == pytest.approx(wanted["log_prob"], abs=1e-4)


def test_a_task_or_format_without_it_says_so(run_dir, tmp_path):
    with pytest.raises(
        ExportError, match="xla: sentiment classification has no signature for XLA \(tasks that have: translation\)"
    ):
        run_export(run_dir, tmp_path / "models" / "m", xla=True)
    with pytest.raises(ExportError, match="format 'keras': unknown setting 'xla'"):
        run_export(run_dir, tmp_path / "m.keras", format="keras", xla=True)
    assert not list(tmp_path.iterdir())
