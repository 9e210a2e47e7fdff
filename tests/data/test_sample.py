"""The sample grammar: labels follow from the rules, and no bag of single words can know them."""

import hashlib
import itertools
import json
import random
import re
from collections import Counter

import pytest

from nlp_suite.data.sources import sample
from nlp_suite.data.sources import sentiment_grammar as grammar
from nlp_suite.data.sources.sample import SampleSource

GOOD, BAD = {*grammar.GOOD, *grammar.GOOD_VERBS}, {*grammar.BAD, *grammar.BAD_VERBS}


def verdict(clause: str, quality: bool | None = None) -> bool:
    """Whether a clause praises; `quality` is what an ellipsis leaves out."""
    words = clause.split()
    if GOOD & {*words}:
        quality = True
    elif BAD & {*words}:
        quality = False
    return quality != bool({*grammar.NEGATORS} & {*words})


def by_the_rules(text: str) -> str:
    """The label that a reader gives who knows the rules and sees only the text."""
    (opinion,) = (s for s in re.findall(r"[^.]+", text) if (GOOD | BAD) & {*re.findall(r"\w+", s)})
    opinion = opinion.strip().lower()
    for opening in grammar.OPENINGS:
        opinion = opinion.removeprefix(opening.lower().replace(" ,", ",") + " ")
    if " while " in opinion:
        return "neutral"
    match = (
        re.match(r"(?:although|even though) (?P<k>.*), (?P<d>.*)", opinion)
        or re.match(r"(?P<k>.*?),? (?:but|yet) (?P<d>.*)", opinion)
        or re.match(r"(?P<d>.*?),? (?:although|even though) (?P<k>.*)", opinion)
    )
    if match:
        repeated = bool(GOOD & {*match["k"].split()})
        positive = verdict(match["d"], quality=repeated)
    else:
        verdicts = {verdict(clause) for clause in opinion.split(" and ")}
        assert len(verdicts) == 1, text
        positive = verdicts.pop()
    return "positive" if positive else "negative"


@pytest.mark.parametrize("classes", [2, 3])
def test_the_rules_decide_every_label(classes):
    source = SampleSource(classes=classes)
    assert source.optimum["bayes_accuracy"] == 1.0
    for split in ("train", "test"):
        for example in source.examples(split):
            assert by_the_rules(example["text"]) == example["label"], example


@pytest.mark.parametrize("kind", [grammar.contrast, grammar.ellipsis, grammar.scope])
def test_twins_have_the_same_words_and_opposite_labels(kind):
    rng = random.Random(0)
    for _ in range(500):
        positive, negative = (grammar._typeset(" ".join(words.split())) for words in kind(rng))
        assert grammar.bag(positive) == grammar.bag(negative)
        assert by_the_rules(positive) == "positive" and by_the_rules(negative) == "negative"


def test_the_ceiling_of_a_bag_is_exact():
    """Bags of the other kinds have one label each and are no twin's bag, so 1 - TWINS / 2 is reached and not passed."""
    rng = random.Random(0)
    labels, twins = {}, set()
    for kind, label in itertools.product(grammar.SHARES, ("positive", "negative", "neutral")):
        for _ in range(2000):
            bag = grammar.bag(grammar.opinion(rng, kind, label))
            if label != "neutral" and kind in ("contrast", "ellipsis", "scope"):
                twins.add(bag)
            else:
                assert labels.setdefault(bag, label) == label, bag
    assert not twins & set(labels)
    assert sum(grammar.SHARES.values()) == pytest.approx(1)
    assert SampleSource().optimum["bag_accuracy"] == pytest.approx(0.75)
    assert SampleSource(classes=3).optimum["bag_accuracy"] == pytest.approx(5 / 6)
    assert SampleSource(noise=0.5).optimum["bag_accuracy"] == pytest.approx(0.5)


def test_single_words_fail_and_pairs_of_words_do_better():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    source = SampleSource(size=4000, test=2000)
    (texts, labels), (unseen, truth) = (
        zip(*((e["text"], e["label"]) for e in source.examples(s))) for s in source.splits()
    )
    score = {}
    for n in (1, 2):
        count = CountVectorizer(ngram_range=(1, n), token_pattern=r"\w+|[^\w\s]")
        model = LogisticRegression(C=10, max_iter=1000).fit(count.fit_transform(texts), labels)
        score[n] = model.score(count.transform(unseen), truth)
    assert 0.53 < score[1] < source.optimum["bag_accuracy"] + 0.03  # 3 standard errors of 2,000 reviews
    assert score[1] + 0.1 < score[2] < 0.95


def test_train_and_test_share_no_sentence_but_all_words():
    source = SampleSource(size=4000, test=1000)
    train, test = (
        {s for e in source.examples(split) for s in re.findall(r"[^.]+", e["text"])} for split in source.splits()
    )
    assert not {s.strip() for s in train} & {s.strip() for s in test}
    words = [{w for s in sentences for w in re.findall(r"\w+", s.lower())} for sentences in (train, test)]
    assert words[1] <= words[0]


def test_sizes_balance_and_determinism():
    source = SampleSource(size=1000, test=50)
    examples = list(source.examples("train"))
    assert examples == list(SampleSource(size=1000).examples("train"))
    assert examples[:10] == list(SampleSource(size=10).examples("train"))
    assert len(examples) == 1000 and len(list(source.examples("test"))) == 50
    assert abs(sum(e["label"] == "positive" for e in examples) - 500) < 60
    assert len({e["text"] for e in examples}) > 990
    assert examples != list(SampleSource(size=1000, seed=1).examples("train"))
    assert set(Counter(e["label"] for e in SampleSource(classes=3).examples("test"))) == {
        "negative",
        "neutral",
        "positive",
    }


def test_noise_changes_labels_only_and_at_its_rate():
    clean, noisy = (list(SampleSource(noise=noise, classes=3).examples("train")) for noise in (0.0, 0.2))
    assert [e["text"] for e in clean] == [e["text"] for e in noisy]
    changed = sum(a["label"] != b["label"] for a, b in zip(clean, noisy)) / len(clean)
    assert abs(changed - 0.2) < 0.02
    assert SampleSource(noise=0.2).optimum["bayes_accuracy"] == 0.8


def test_fingerprint_and_settings():
    assert SampleSource().fingerprint() == SampleSource().fingerprint()
    assert SampleSource().fingerprint() != SampleSource(seed=1).fingerprint()
    with pytest.raises(ValueError, match="did you mean 'noise'"):
        SampleSource(nose=0.1)
    with pytest.raises(ValueError, match="noise"):
        SampleSource(noise=0.6)


@pytest.mark.parametrize(
    "corpus, digest",
    [
        (sample.SampleReviews, "f8096f88910162b5"),
        (sample.SampleSentences, "4a830d69f6850468"),
        (sample.SamplePairs, "0079908785e6d99f"),
    ],
)
def test_examples_change_with_their_version_only(corpus, digest):
    made = corpus(sample.SampleSettings(classes=3, noise=0.1))
    examples = [list(itertools.islice(made.examples(split), 500)) for split in ("train", "test")]
    found = hashlib.sha256(json.dumps(examples).encode()).hexdigest()[:16]
    assert found == digest, "the grammar makes other examples: change its `versions`, and this digest"
