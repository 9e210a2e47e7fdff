"""A CTranslate2 folder translates as the network it was made from, or the network is refused."""

import json
import sys

import numpy as np
import pytest

from nlp_suite.data.prepare import open_texts
from nlp_suite.errors import ExportError
from nlp_suite.export import run_export
from nlp_suite.export.formats import ctranslate2_check, ctranslate2_spec
from nlp_suite.export.load import load
from tests.translation_models import NETWORKS, PAIRS, make_run

ctranslate2 = pytest.importorskip("ctranslate2", reason="the extra [ctranslate2] is not installed")
SENTENCES = [source for source, _ in PAIRS] + ["the dog sees the old house ."]
SMALL = {"name": "transformer", "heads": 2, "feed_forward": 12}
VARIANTS = {  # encoder, decoder, further settings of the run
    "pre": ({"layers": 1}, {"layers": 2}, {"tie_embeddings": "all"}),
    "post": ({"norm": "post", "activation": "gelu"}, {"norm": "post", "activation": "gelu"}, {"target_text": {}}),
    "learned": (
        {"positions": "learned", "max_length": 6, "norm": "post"},
        {"positions": "learned", "max_length": 5, "embedding_size": 12},
        {"target_text": {}, "tie_embeddings": "none"},
    ),
}


@pytest.fixture(params=["pre", *(pytest.param(name, marks=pytest.mark.slow) for name in ("post", "learned"))])
def run_dir(request, tmp_path, monkeypatch):
    encoder, decoder, sections = VARIANTS[request.param]
    monkeypatch.setitem(NETWORKS, "chosen", ({**SMALL, **encoder}, {**SMALL, **decoder}))
    return make_run(tmp_path / "run", "chosen", scale=0.4, beam_size=3, **sections)


def test_translations_and_log_probabilities_are_those_of_python(run_dir, tmp_path):
    result = run_export(run_dir, tmp_path / "new" / "m-ct2", format="ctranslate2")
    assert result.path == tmp_path / "new" / "m-ct2" and [result.path] == list(result.path.parent.iterdir())
    check = result.report["self_check"]
    assert check["largest_difference"] < 1e-4 and check["greedy_clear"] > check["rows"] / 2 and not check["beam_worse"]
    assert check["beam_same"] > 2 and json.loads((result.path / "model_card.json").read_text("utf-8"))

    text, target_text = open_texts(result.path)
    names = ["shared"] * 2 if text is target_text else ["source", "target"]
    source, target = (json.loads((result.path / f"{name}_vocabulary.json").read_text("utf-8")) for name in names)
    translator = ctranslate2.Translator(str(result.path), intra_threads=1)
    rows = [[source[i] for i in row] for row in text.encode(SENTENCES)]
    model = load(run_dir)
    wanted = model.translate(SENTENCES, beam_size=1, max_length=12)
    found = translator.translate_batch(
        rows, beam_size=1, max_decoding_length=12, suppress_sequences=[[target[i]] for i in range(3)]
    )
    found = [[target.index(token) for token in each.hypotheses[0]] for each in found]
    assert target_text.decode(found) == [answer["translation"] for answer in wanted]
    scores = translator.score_batch(
        rows, [[target[i] for i in row[:-1]] for row in target_text.encode([t for _, t in PAIRS] + [PAIRS[0][1]])]
    )
    ours = model.score(SENTENCES, [t for _, t in PAIRS] + [PAIRS[0][1]])
    for mine, theirs in zip(ours, scores, strict=True):
        np.testing.assert_allclose(theirs.log_probs, mine["token_log_probs"], atol=1e-4, rtol=1e-4)
    with pytest.raises(ExportError, match="something in it"):
        run_export(run_dir, result.path, format="ctranslate2")


@pytest.mark.slow
def test_a_wrong_weight_is_found_and_leaves_nothing(tmp_path, monkeypatch):
    run_dir = make_run(tmp_path / "run", "transformer", scale=0.4)
    right = ctranslate2_spec._positions
    monkeypatch.setattr(ctranslate2_spec, "_positions", lambda layer, places: right(layer, places + 1)[1:])
    with pytest.raises(ExportError, match="CTranslate2"):
        run_export(run_dir, tmp_path / "models" / "m", format="ctranslate2")
    monkeypatch.setattr(ctranslate2_check, "_clear", lambda model, source, targets: [False] * len(targets))
    with pytest.raises(
        ExportError, match=r"log-probability of CTranslate2 differs from Python's by .* \(0\.0001 allowed"
    ):
        run_export(run_dir, tmp_path / "models" / "m", format="ctranslate2")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "encoder, decoder, message",
    [
        ({"name": "gru", "units": 6}, {**SMALL}, "backbone GRUBackbone: allowed is transformer"),
        ({**SMALL}, {"name": "gru", "units": 6}, "task.decoder GRUDecoder: allowed is transformer"),
        ({**SMALL, "positions": "rotary"}, {**SMALL}, "backbone.positions 'rotary': allowed are sinusoidal, learned"),
        ({**SMALL}, {**SMALL, "activation": "elu"}, "task.decoder.activation 'elu': allowed are relu, gelu"),
        ({**SMALL, "causal": True}, {**SMALL}, "backbone.causal true"),
    ],
)
def test_what_it_cannot_express_is_refused_by_name(encoder, decoder, message, tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "chosen", (encoder, decoder))
    run_dir = make_run(tmp_path / "run", "chosen")
    with pytest.raises(ExportError, match=message):
        run_export(run_dir, tmp_path / "m", format="ctranslate2")
    assert not (tmp_path / "m").exists()


def test_tokens_that_look_like_special_ones_get_names_of_their_own():
    class Text:
        vocabulary_size = 7

        def id_to_token(self, ids):
            return ["<pad>", "<unk>", "<s>", "</s>", "a", "<s>", "\\<s>"]

    tokens = ctranslate2_spec.tokens_of(Text())
    assert tokens[:5] == ["<pad>", "<unk>", "<s>", "</s>", "a"] and len(set(tokens)) == 7


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    run_dir = make_run(tmp_path / "run", "transformer")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(ExportError, match=r"nlp-suite\[ctranslate2\]"):
        run_export(run_dir, tmp_path / "m", format="ctranslate2")
