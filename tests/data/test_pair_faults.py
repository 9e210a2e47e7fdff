"""Faults of pairs: each found where it is, none where all is well; on pairs of the sample, and on real ones."""

import io
import json
import random
from pathlib import Path

import pytest
from rich.console import Console

from nlp_suite.data.inspect import format_inspection
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.pair_faults import FAULTS, PairFaults, fault_remarks
from nlp_suite.data.sources.sample import SampleSource

MULTI30K = Path(__file__).parents[3] / "shared" / "data" / "multi30k"


@pytest.fixture(scope="module")
def pairs():
    examples = SampleSource(kind="pairs", size=1200).examples("train")
    return [(example["source"], example["target"]) for example in examples][:1000]


def found(pairs):
    faults = PairFaults()
    for pair in pairs:
        faults.add(*pair)
    return faults.report()


def counts(report):
    return {name: report[name]["pairs"] for name in FAULTS if report[name]["pairs"]}


def remarks(report, pairs=1000):
    return fault_remarks(report, pairs, "train")


def test_good_pairs_have_none(pairs):
    report = found(pairs)
    assert counts(report) == {} and report["shifted"] == [] and remarks(report) == []
    assert report["languages"] == ["en", "de"] and report["length_correlation"] > 0.5
    assert json.loads(json.dumps(report)) == report


def test_a_line_that_is_missing_shifts_all_after_it(pairs):
    targets = [target for _, target in pairs]
    report = found(zip((source for source, _ in pairs), [*targets[:400], *targets[401:], "Ja ."]))
    assert report["shifted"] == [{"first": 401, "last": 1000, "shift": -1, "source": pairs[400][0]}]
    said = f"from pair 401 ({pairs[400][0]!r}) to 1,000 the targets seem to stand 1 line too high"
    assert said in remarks(report)[0]
    report = found(zip((source for source, _ in pairs), [*targets[:600], "Ja .", "Nein .", *targets[600:-2]]))
    assert report["shifted"] == [{"first": 601, "last": 1000, "shift": 2, "source": pairs[600][0]}]
    assert "stand 2 lines too low" in remarks(report)[0]


def test_another_order_of_one_side(pairs):
    targets = random.Random(0).sample([target for _, target in pairs], len(pairs))
    assert "the two sides may be in different orders" in remarks(found(zip((s for s, _ in pairs), targets)))[0]


def test_sentences_that_are_not_translated_or_in_a_third_language(pairs):
    english = "The cat is not what I was looking for , and it was in the house ."
    french = "Le chat n'est pas dans la maison , mais je ne sais pas où il est ."
    wrong = {
        10: (english, english.upper()),
        20: (pairs[20][0], french),
        30: (french, pairs[30][1]),
        40: (pairs[40][0], "مرحبا بكم"),
    }
    report = found(wrong.get(i, pair) for i, pair in enumerate(pairs))
    assert counts(report) == {"untranslated": 1, "source_language": 1, "target_language": 3, **lengths(report)}
    assert [row[0] for row in report["target_language"]["examples"]] == [11, 21, 41]
    assert report["source_language"]["examples"] == [[31, french, pairs[30][1]]]
    assert remarks(report, 1000) == [], "fewer than 1% of the pairs"
    (line,) = [line for line in remarks(report, 100) if "source in another" in line]
    assert line.startswith("train: 1 of 100 pairs have a source in another language, as pair 31: \"Le chat n'est")


def lengths(report):
    return {"lengths": report["lengths"]["pairs"]} if report["lengths"]["pairs"] else {}


def test_lengths_and_numbers_that_do_not_fit(pairs):
    wrong = {
        5: (pairs[5][0], pairs[5][1] * 9),
        6: ("It was in 1987 .", "Das war 1978 ."),
        7: ("in 1987", "im Jahr 1987"),
    }
    report = found(wrong.get(i, pair) for i, pair in enumerate(pairs))
    assert counts(report) == {"lengths": 1, "numbers": 1}
    assert report["lengths"]["examples"][0][0] == 6 and report["numbers"]["examples"][0][0] == 7


@pytest.mark.parametrize(
    "pairs", [[], [("", "")], [("a", "")] * 300, [("a b c", "a b c")] * 300, [("\ud800", "\x00")] * 3]
)
def test_odd_pairs(pairs):
    report = found(pairs)
    assert report["shifted"] == [] and report["lengths"] == {"pairs": 0, "examples": []}
    fault_remarks(report, len(pairs), "train")


def test_inspection_shows_them(pairs):
    rows = [{"source": source, "target": source if i % 10 == 0 else target} for i, (source, target) in enumerate(pairs)]
    report = corpus_kind("pairs").inspect({"train": rows, "test": rows[1:5]})
    remark = fault_remarks(report["splits"]["train"]["faults"], 1000, "train")[0]
    file = io.StringIO()
    Console(width=140, file=file).print(format_inspection({**report, "remarks": [remark]}))
    shown = file.getvalue()
    assert "Doubtful pairs" in shown and "say the same on both sides" in shown and "en – de" in shown


@pytest.mark.skipif(not MULTI30K.is_dir(), reason="Multi30k is not beside the repository, in ../shared/data/multi30k")
def test_multi30k_is_well_but_for_two_targets_that_are_none():
    sides = [
        (MULTI30K / f"train.{language}").read_text("utf-8").split("\n")[15_000:20_000] for language in ("en", "de")
    ]
    report = found(zip(*sides))
    assert report["languages"] == ["en", "de"] and report["shifted"] == [] and remarks(report, 5000) == []
    assert {row[2] for row in report["lengths"]["examples"]} == {"@@"}
