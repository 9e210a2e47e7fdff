"""The numbers of translations against sacreBLEU itself and values worked out by hand."""

import json
import math

import numpy as np
import pytest
import sacrebleu

from nlp_suite.tasks.translation.report import corpus_bleu, translation_report

SOURCES = [
    "A man sleeps.",
    "The old woman buys two green apples at the market today, she says.",
    "Two dogs run over the wide meadow.",
    "Hello!",
]
REFERENCES = [
    "Ein Mann schläft.",
    "Die alte Frau kauft heute auf dem Markt zwei grüne Äpfel, sagt sie.",
    "Zwei Hunde laufen über die weite Wiese.",
    "Hallo!",
]
HYPOTHESES = [
    "Ein Mann  schläft. ",
    "Die alte frau kauft heute zwei grüne Äpfel, sagt sie.",
    "Zwei Hunde schlafen über der Wiese.",
    "hallo!",
]
COUNTS = {"nll": 8 * math.log(4), "tokens": 8, "correct": 6}
GIVEN = {"sources": SOURCES, "references": REFERENCES, "hypotheses": HYPOTHESES, **COUNTS}


def test_the_scores_are_sacrebleus():
    report = translation_report(**GIVEN)
    expected = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES])
    assert report["bleu"]["score"] == pytest.approx(expected.score) and 20 < expected.score < 90
    assert report["bleu"]["precisions"] == pytest.approx(expected.precisions)
    assert report["bleu"]["brevity_penalty"] == pytest.approx(expected.bp) and expected.bp < 1
    assert report["bleu"]["length_ratio"] == pytest.approx(expected.sys_len / expected.ref_len)
    lower = sacrebleu.corpus_bleu([h.lower() for h in HYPOTHESES], [[r.lower() for r in REFERENCES]])
    assert report["bleu_lowercase"]["score"] == pytest.approx(lower.score) and lower.score > expected.score
    assert report["chrf"]["score"] == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES], word_order=2).score)
    assert report["ter"]["score"] == pytest.approx(sacrebleu.corpus_ter(HYPOTHESES, [REFERENCES]).score)
    assert corpus_bleu(HYPOTHESES, REFERENCES) == report["bleu"]["score"]


def test_every_score_has_its_signature():
    report, version = translation_report(**GIVEN), f"version:{sacrebleu.__version__}"
    signatures = {key: report[key]["signature"] for key in ("bleu", "bleu_lowercase", "chrf", "ter")}
    assert signatures == {
        "bleu": f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{version}",
        "bleu_lowercase": f"nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|{version}",
        "chrf": f"nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|{version}",
        "ter": f"nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|{version}",
    }


def test_by_hand():
    report = translation_report(**GIVEN, truncated=1, search={"beam_size": 4})
    assert report["kind"] == "translation" and report["sentences"] == 4 and report["truncated"] == 1
    assert report["perplexity_per_token"] == pytest.approx(4) and report["cross_entropy"] == pytest.approx(math.log(4))
    assert report["token_accuracy"] == 0.75
    assert report["exact_match"] == 0.25  # white space does not count, case does
    assert report["search"] == {"beam_size": 4}
    assert report["attention"] == []


def test_perfect_translations():
    report = translation_report(**{**GIVEN, "hypotheses": REFERENCES, "nll": -1e-9})
    for key in ("bleu", "bleu_lowercase", "chrf"):
        assert report[key]["score"] == pytest.approx(100)
    assert report["ter"]["score"] == 0 and report["exact_match"] == 1 and report["perplexity_per_token"] == 1
    assert report["bleu"]["interval"] == pytest.approx([100, 100]) and report["worst"] == []


def test_the_interval_is_that_of_resampled_corpora():
    rng = np.random.default_rng(1)
    words = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]
    references = [" ".join(rng.choice(words, 9)) for _ in range(60)]
    hypotheses = [" ".join("x" if rng.random() < 0.15 else word for word in text.split()) for text in references]
    report = translation_report(**{**COUNTS, "sources": references, "references": references, "hypotheses": hypotheses})
    (low, high), score = report["bleu"]["interval"], report["bleu"]["score"]
    assert low < score < high
    expected = sacrebleu.metrics.BLEU().corpus_score(hypotheses, [references], n_bootstrap=1000)
    assert (high - low) / 2 == pytest.approx(expected._ci, rel=0.15)
    again = translation_report(**{**COUNTS, "sources": references, "references": references, "hypotheses": hypotheses})
    assert again["bleu"]["interval"] == [low, high]


def test_groups_of_source_words():
    rows = translation_report(**GIVEN)["by_length"]
    assert [(row["group"], row["sentences"]) for row in rows] == [("1–5", 2), ("6–10", 1), ("11–15", 1)]
    expected = sacrebleu.corpus_bleu([HYPOTHESES[1]], [[REFERENCES[1]]])
    assert rows[2]["bleu"] == pytest.approx(expected.score) and rows[2]["reference_words"] == expected.ref_len
    both = sacrebleu.corpus_bleu([HYPOTHESES[0], HYPOTHESES[3]], [[REFERENCES[0], REFERENCES[3]]])
    assert rows[0]["bleu"] == pytest.approx(both.score)


@pytest.mark.parametrize(
    "words, group", [(0, "0"), (1, "1–5"), (5, "1–5"), (6, "6–10"), (60, "41–60"), (61, "61 or more")]
)
def test_edges_of_the_groups(words, group):
    report = translation_report(sources=["w " * words], references=["a"], hypotheses=["a"], **COUNTS)
    assert [row["group"] for row in report["by_length"]] == [group]


def test_the_worst_come_first_and_never_an_exact_match():
    worst = translation_report(**GIVEN, worst=2)["worst"]
    assert [row["index"] for row in worst] == [3, 2] and worst[0]["chrf"] < worst[1]["chrf"]
    assert [row["index"] for row in translation_report(**GIVEN)["worst"]] == [3, 2, 1]
    assert worst[1] == {
        "index": 2,
        "source": SOURCES[2],
        "reference": REFERENCES[2],
        "hypothesis": HYPOTHESES[2],
        "chrf": pytest.approx(sacrebleu.sentence_chrf(HYPOTHESES[2], [REFERENCES[2]], word_order=2).score),
    }


def test_empty_texts_and_a_single_sentence():
    report = translation_report(sources=["", "a b"], references=["", "ein"], hypotheses=["", ""], **COUNTS)
    assert report["bleu"]["score"] == 0 and report["exact_match"] == 0.5
    assert [row["index"] for row in report["worst"]] == [1]
    alone = translation_report(sources=["a"], references=[""], hypotheses=[""], **COUNTS)
    assert alone["bleu"]["interval"] is None and alone["bleu"]["length_ratio"] is None
    json.dumps([report, alone], allow_nan=False)


def test_values_are_those_of_strict_json():
    shown = {
        "source": "a dog",
        "reference": "ein Hund",
        "translation": "ein Hund",
        "source_tokens": ["▁a", "▁dog"],
        "target_tokens": np.array(["▁ein", "▁Hund", "</s>"]),
        "weights": np.array([[0.9, 0.1], [0.25, np.nan], [0.33333, 0.66667]], "float32"),
    }
    counts = {"nll": np.float64(1e6), "tokens": np.int64(3), "correct": np.int64(2)}
    report = translation_report(**{**GIVEN, **counts}, attention=[shown])
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["perplexity_per_token"] is None
    assert report["attention"] == [
        {
            **{key: shown[key] for key in ("source", "reference", "translation", "source_tokens")},
            "target_tokens": ["▁ein", "▁Hund", "</s>"],
            "weights": [[0.9, 0.1], [0.25, None], [0.3333, 0.6667]],
        }
    ]


def test_an_empty_translation_has_no_attention():
    shown = {"source": "", "translation": "", "source_tokens": ["</s>"], "target_tokens": [], "weights": []}
    assert translation_report(**GIVEN, attention=[shown])["attention"] == [shown]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sources": [], "references": [], "hypotheses": []}, "nothing to evaluate: 0 sentences"),
        ({"references": REFERENCES[:3]}, "4 sources, 3 references"),
        ({"hypotheses": [*HYPOTHESES, ""]}, "4 sources, 5 hypotheses"),
        ({"tokens": 0}, "0 target tokens"),
        ({"nll": float("nan")}, "broken"),
        ({"nll": -1.0}, "at least 0"),
        (
            {"attention": [{"source_tokens": ["a"], "target_tokens": ["b"], "weights": [[0.5, 0.5]]}]},
            r"\[1, 2\] do not fit 1 target and 1 source",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        translation_report(**{**GIVEN, **change})
