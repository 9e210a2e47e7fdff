"""Which columns of a table are texts, labels, or sides of a translation, and when the user is asked."""

import random

import pytest

from nlp_suite.data.init import table_profile
from nlp_suite.data.init.columns import choose_columns
from nlp_suite.data.init.table_profile import PROFILED_ROWS, profile
from nlp_suite.errors import DataError, UsageError
from tests.data.init.words import DEUTSCH, WORDS


def sentences(rows, words=WORDS, seed=0):
    generator = random.Random(seed)
    return [" ".join(generator.choices(words, k=generator.randint(5, 12))) for _ in range(rows)]


def columns(**values):
    return profile(enumerate(zip(*values.values()), 2), list(values))


def chosen(told=None, kind=None, **values):
    found = choose_columns(columns(**values), told or {}, kind, "reviews.csv")
    return found.kind, {field: choice.value for field, choice in found.places.items()}


@pytest.mark.parametrize(
    "told, kind, idle, apply",
    [
        ({"text": "review", "label": "sentiment"}, "text", "running text: --label", "--text"),
        (
            {"source": "review", "text_b": "review", "text": "review"},
            None,
            "pairs of sentences: --text-b, --text",
            "--source, --target",
        ),
        ({"source": "review"}, "labelled", "labels: --source", "--text, --label, --text-b"),
        (
            {"text": "review", "label": "sentiment"},
            "pairs",
            "pairs of sentences: --text, --label",
            "--source, --target",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(told, kind, idle, apply):
    with pytest.raises(UsageError, match=rf"where what is read is {idle}; leave out .* \(what applies: {apply}\)$"):
        chosen(told, kind, review=TEXTS, sentiment=LABELS)


def test_what_is_not_read_is_said_with_an_option_that_helps():
    for kind, expected in ((None, "not read: 'id' (--label makes one of them the label)"), ("text", "not read: 'id'")):
        assert choose_columns(columns(body=TEXTS, id=IDS), {}, kind, "f.csv").places["text"].reason == expected


ROWS = 60
TEXTS, LABELS = sentences(ROWS), ["pos", "neg"] * (ROWS // 2)
IDS = [f"row-{i}" for i in range(ROWS)]
PRICES = [f"{i * 1.37:.2f}" for i in range(ROWS)]
DATES = [f"2024-01-{1 + i % 28:02} 10:{i:02}:00" for i in range(ROWS)]


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"id": IDS, "price": PRICES, "date": DATES},
        {"author": ["Ada Lovelace", "Alan Turing", "Grace Hopper"] * (ROWS // 3)},
        {"empty": [None] * ROWS, "nested": [["a", "b"]] * ROWS},
        {"Unnamed: 0": [str(i) for i in range(ROWS)]},
    ],
    ids=["none", "numbers and dates", "names", "nothing and lists", "row numbers"],
)
@pytest.mark.parametrize("label", [LABELS, ["1", "0"] * (ROWS // 2), ["1", "2", "3", "4", "5"] * (ROWS // 5)])
def test_a_text_and_its_label_are_found_among_other_columns(others, label):
    assert chosen(**others, review=TEXTS, sentiment=label) == ("labelled", {"text": "review", "label": "sentiment"})


@pytest.mark.parametrize("name", ["whatever", "label"])
def test_a_label_need_not_be_called_so_but_a_name_decides(name):
    assert chosen(body=TEXTS, **{name: LABELS})[1] == {"text": "body", "label": name}
    assert chosen(body=TEXTS, colour=["red", "blue"] * (ROWS // 2), topic=LABELS)[1]["label"] == "topic"


@pytest.mark.parametrize(
    "cells",
    [
        ["Arts, Music", "Science", "Law, Order"] * 20,  # three names
        [f"{name}, {i}" for i, name in enumerate(LABELS)],  # no part is there again
        ["1,5", "2,0", "1,0", "2,5", "1,25"] * 12,  # numbers
        [
            "a long sentence, that nobody in the world would call a label",
            "a long sentence",
            "that nobody in the world would call a label",
        ]
        * 20,
    ],
)
def test_commas_alone_make_no_list_of_labels(cells):
    assert [column.separator for column in columns(text=TEXTS, cells=cells)] == [None, None]


def test_a_sorted_file_begins_with_one_label():
    assert chosen(text=TEXTS, label=["neg"] * ROWS, lang=["en"] * ROWS)[1]["label"] == "label"


def test_texts_without_spaces_and_numbered_columns():
    chinese = ["".join(random.Random(i).choices("今天天气很好我们去公园看电影吧", k=9)) for i in range(ROWS)]
    found = choose_columns(profile(enumerate(zip(LABELS, chinese), 1), None), {}, None, "reviews.tsv")
    assert {field: choice.value for field, choice in found.places.items()} == {"text": 1, "label": 0}


def test_a_number_that_is_called_a_score_is_what_is_learned():
    scores = [str(i * 7 % 1000) for i in range(ROWS)]
    assert chosen(review=TEXTS, score=scores) == ("labelled", {"text": "review", "label": "score"})


def test_two_languages_are_a_translation_and_one_text_is_running_text():
    pairs = {"first": TEXTS, "second": sentences(ROWS, DEUTSCH)}
    assert chosen(**pairs) == ("pairs", {"source": "first", "target": "second"})
    assert chosen({"source": "second"}, **pairs) == ("pairs", {"source": "second", "target": "first"})
    assert chosen(en=sentences(ROWS), de=sentences(ROWS, WORDS, 1)) == ("pairs", {"source": "en", "target": "de"})
    named = {"source": TEXTS, "target": sentences(ROWS, seed=1)}  # a label may be called target, too
    assert chosen(**named) == ("pairs", {"source": "source", "target": "target"})
    assert chosen(review=TEXTS, target=LABELS) == ("labelled", {"text": "review", "label": "target"})
    assert chosen(id=IDS, content=TEXTS) == ("text", {"text": "content"})
    assert chosen(kind="text", text=TEXTS, label=LABELS) == ("text", {"text": "text"})


@pytest.mark.parametrize(
    "table, told, words",
    [
        ({"title": TEXTS, "abstract": sentences(ROWS, seed=1), "label": LABELS}, {}, "'title'.*'abstract'.*--text"),
        ({"x": TEXTS, "a": LABELS, "b": LABELS}, {}, "2 columns|two columns look like labels: 'a'.*'b'.*--label"),
        ({"x": TEXTS, "z": sentences(ROWS, seed=1)}, {}, "two columns look like text.*--source and --target.*--label"),
        ({"x": TEXTS, "label": LABELS}, {"text": "txet"}, "--text: unknown column 'txet'.*x, label"),
        ({"x": TEXTS, "label": LABELS}, {"label": "7"}, "--label: unknown column '7'"),
        (
            {"x": TEXTS, "label": LABELS},
            {"source": "x"},
            "look like a side of a translation: 0, needed: 1",
        ),
    ],
)
def test_the_user_is_asked_with_the_candidates_and_the_option(table, told, words):
    with pytest.raises(UsageError, match=f"(?s)^reviews.csv: .*({words})"):
        chosen(told, **table)


@pytest.mark.parametrize(
    "table, words",
    [
        ({"id": IDS, "price": PRICES, "label": LABELS}, "no column looks like text.*'price' .*--text"),
        ({"text": TEXTS, "label": IDS}, "'label' has 60 different values in 60 rows, so it is no column of labels"),
        ({"text": TEXTS, "price": PRICES}, None),
    ],
)
def test_what_cannot_be_is_refused(table, words):
    if words is None:
        assert chosen(**table)[0] == "text", "numbers with a fraction are no labels"
        assert chosen(text=TEXTS, score=PRICES)[0] == "labelled", "but where their column is called so"
        return
    with pytest.raises(DataError, match=words):
        chosen(**table)


def test_candidates_follow_what_was_told():
    table = {"title": TEXTS, "abstract": sentences(ROWS, seed=1), "a": LABELS, "b": LABELS}
    assert chosen({"text": "abstract", "label": "b"}, **table)[1] == {"text": "abstract", "label": "b"}
    assert chosen({"text": "0", "label": "3"}, **table)[1] == {"text": "title", "label": "b"}


def test_a_profile_reads_a_bounded_number_of_rows(monkeypatch):
    endless = ((i, [f"text {i}"]) for i in iter(int, 1))
    assert profile(endless, ["text"])[0].rows == PROFILED_ROWS
    monkeypatch.setattr(table_profile, "PROFILED_CHARACTERS", 10_000)
    huge = ((i, ["x " * 3000]) for i in iter(int, 1))
    assert profile(huge, ["text"])[0].rows == 2
