"""The TF-IDF baselines: scikit-learn's own pipeline as the oracle, what is bounded, texts that have nothing in them."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline, make_union

from nlp_suite.evaluation import tfidf
from nlp_suite.evaluation.tfidf import tfidf_baseline, tfidf_multi_label_baseline, tfidf_regression_baseline

RANDOM = np.random.default_rng(0)
WORDS = ["awful", "bad", "dull", "fine", "good", "great"]
STARS = RANDOM.integers(0, 6, 120)
TEXTS = [f"{WORDS[s]} {WORDS[min(s + RANDOM.integers(2), 5)]} film number {RANDOM.integers(9)}" for s in STARS]


def features():
    options = {"sublinear_tf": True}
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **options)
    return make_union(words, TfidfVectorizer(ngram_range=(2, 5), analyzer="char_wb", **options))


def test_it_answers_as_scikit_learns_pipeline():
    labels = np.array(WORDS)[STARS]
    answers = tfidf_baseline(TEXTS[:90], labels[:90], TEXTS[90:])
    oracle = make_pipeline(features(), LogisticRegression(C=tfidf.C)).fit(TEXTS[:90], labels[:90])
    assert answers.classes == oracle.classes_.tolist() and answers.rows.tolist() == list(range(30))
    assert answers.outputs == pytest.approx(oracle.predict_proba(TEXTS[90:]), abs=0.04)  # it stops nearby
    assert np.mean(np.array(answers.predicted) == labels[90:]) > 0.7 and not answers.notes


def test_numbers_and_several_labels():
    values = tfidf_regression_baseline(TEXTS[:90], STARS[:90], TEXTS[90:])
    oracle = make_pipeline(features(), Ridge(alpha=1.0)).fit(TEXTS[:90], STARS[:90])
    assert values.outputs == pytest.approx(oracle.predict(TEXTS[90:]), abs=0.05)
    several = np.stack([STARS < 2, STARS > 2, STARS < 9, STARS > 9], axis=1).astype(int)
    answers = tfidf_multi_label_baseline(TEXTS[:90], several[:90], TEXTS[90:])
    assert np.mean((answers.outputs[:, :2] > 0.5) == several[90:, :2]) > 0.9
    assert (answers.outputs[:, 2:] == [1, 0]).all(), "labels of all texts, and of none"


def test_what_is_left_out_of_long_corpora_is_said(monkeypatch):
    labels = (STARS > 2).astype(int)
    monkeypatch.setattr(tfidf, "MAX_CHARACTERS", sum(map(len, TEXTS)) // 2)
    monkeypatch.setattr(tfidf, "MAX_GRAM_CHARACTERS", sum(map(len, TEXTS)) * 3 // 4)
    monkeypatch.setattr(tfidf, "MAX_WORK", 3000)
    answers = tfidf_baseline(TEXTS, labels, TEXTS)
    assert 50 < len(answers.rows) < 70 and len(answers.outputs) == len(answers.rows)
    assert np.mean(answers.outputs.argmax(axis=1) == labels[answers.rows]) > 0.7
    fitted, measured, beginning, rows = answers.notes
    assert fitted.startswith("TF-IDF was fitted on ") and "of 120 texts" in fitted
    assert measured.startswith("TF-IDF was measured on ")
    assert "character n-grams of the first" in beginning and "The linear model over TF-IDF was fitted on" in rows
    monkeypatch.setattr(tfidf, "MAX_GRAM_CHARACTERS", 100)
    assert "TF-IDF of words only" in tfidf_baseline(TEXTS, labels, TEXTS).notes[2]
    whole = tfidf_baseline(TEXTS, labels, TEXTS, bounded=False)
    assert len(whole.rows) == 120 and not whole.notes


def test_texts_of_nothing_one_class_and_a_class_that_bounding_left_out(monkeypatch):
    empty = tfidf_baseline(["", " ", ""], ["a", "b", "b"], ["", "word"])
    assert empty.predicted == ["b", "b"] and empty.outputs.sum(axis=1) == pytest.approx([1, 1])
    assert tfidf_baseline(["one", "two"], ["a", "a"], ["two"]).predicted == ["a"]
    monkeypatch.setattr(tfidf, "MAX_WORK", 1)
    assert set(tfidf_baseline(TEXTS, np.arange(120), TEXTS).predicted) < set(range(120))
