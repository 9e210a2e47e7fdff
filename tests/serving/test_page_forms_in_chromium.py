"""The page's forms of ordered labels, several labels, numbers and pairs, and its nearest texts, in Chromium."""

import json
import math

import pytest

from nlp_suite.serving.flags import Options
from tests.serving import chromium
from tests.serving.chromium import CONTRAST, ask, check_clean, deep, texts
from tests.serving.page_models import LABELS, STARS, THRESHOLDS, write_page_models

pytestmark = pytest.mark.slow
TEXT = "a good, good film with a bad end"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not chromium.BINARY:
        pytest.skip("there is no Chromium on this machine")
    from nlp_suite.serving.server import Server
    from tests.serving.endpoint import free_port, model_list

    folder = tmp_path_factory.mktemp("forms")
    (folder / "models.config").write_text(model_list(write_page_models(folder)))
    port = free_port()
    with Server(Options(rest_api_port=port, port=0, host="127.0.0.1", model_config_file=str(folder / "models.config"))):
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def tab(server):
    with chromium.Tab() as tab:
        tab.look(1200, dark=False)
        yield tab


@pytest.fixture(autouse=True)
def clean(tab, server):
    yield
    check_clean(tab, server)


def kind_and_modes(tab):
    return texts(tab, ".kind"), texts(tab, ".switch label")


def coloured(tab):
    """Word → (depth of its colour, whether it speaks against the answer)."""
    items = "[...document.querySelectorAll('.run .token')]"
    rows = tab.run(
        f"{items}.map((e) => [e.textContent, Number(e.style.getPropertyValue('--w')), e.classList.contains('warm')])"
    )
    return {word: (depth, against) for word, depth, against in rows}


def test_ordered_labels_stand_in_their_order_with_their_mean(tab, server):
    deep(tab, server, model="stars", text=TEXT)
    assert kind_and_modes(tab) == (["gives texts one of several ordered labels"], ["Text", "Nearest texts", "JSON"])
    (row,) = ask(server, "stars", instances=[TEXT])["predictions"]
    assert texts(tab, ".headline") == [row["label"]] == ["4"]
    assert texts(tab, ".bars .name") == STARS and texts(tab, ".bar.chosen .name") == ["4"]
    mean = sum(share * (i + 1) for i, share in enumerate(row["probabilities"]))
    assert texts(tab, ".answer > p")[1] == f"Mean of the labels by their probabilities: {mean:.2f}"
    words = coloured(tab)
    assert (
        words["good"][0] > 0.5 and not words["good"][1] and words["bad"][1] and words["film"][0] == 0 != words["bad"][0]
    )
    assert "Most upwards: “\u2068good\u2069” +" in texts(tab, ".readout")[0]


def test_several_labels_show_their_thresholds_and_the_words_of_each(tab, server):
    deep(tab, server, model="labels", text=TEXT)
    assert texts(tab, ".kind") == ["gives texts any number of labels"]
    (row,) = ask(server, "labels", instances=[TEXT])["predictions"]
    assert row["chosen"] == [True, True, False] and texts(tab, ".headline") == ["praise, complaint"]
    assert texts(tab, ".bars .name") == LABELS
    limits = tab.run("[...document.querySelectorAll('.track u')].map((e) => Number(e.style.getPropertyValue('--w')))")
    assert limits == pytest.approx(THRESHOLDS)
    assert texts(tab, ".answer option") == LABELS and coloured(tab)["bad"][0] == 0
    tab.run(
        "(e => { e.value = 'complaint'; e.dispatchEvent(new Event('change')); })(document.querySelector('.answer select'))"
    )
    assert coloured(tab)["bad"] == (1, False) and coloured(tab)["good"][0] == 0
    without = ask(server, "labels", instances=[TEXT.replace("bad", "")])["predictions"][0]["probabilities"][1]
    points = 100 * (row["probabilities"][1] - without)
    assert f"“\u2068bad\u2069” +{points:.1f} points" in texts(tab, ".readout")[0]
    deep(tab, server, model="labels", text="so it is")
    assert texts(tab, ".headline") == ["no label"]


def test_a_number_shows_what_raises_and_what_lowers_it(tab, server):
    deep(tab, server, model="number", text=TEXT)
    assert texts(tab, ".headline") == ["−1,000"]
    assert coloured(tab)["good"] == (1, True) and coloured(tab)["bad"] == (1, False)
    assert texts(tab, ".readout")[0].startswith(
        "Most upwards: “\u2068bad\u2069” +1,000. Most downwards: “\u2068good\u2069” −1,000"
    )
    tab.run("document.querySelector('.run .token').focus()")
    tab.key("End", 35)
    assert texts(tab, ".readout")[0] == "\u2068end\u2069 without it: −1,000 instead of −1,000 (+0)"


def test_both_texts_of_a_pair_are_asked_about(tab, server):
    deep(tab, server, model="pairs", text="it is good", text_b="it is bad")
    assert kind_and_modes(tab) == (["classifies texts"], ["Text", "JSON"])
    assert texts(tab, ".headline") == ["no"] and texts(tab, ".answer .run") == ["it is good", "it is bad"]
    words = coloured(tab)
    assert words["good"] == (1, False) == words["bad"] and words["it"][0] == 0


def test_texts_are_ranked_by_the_cosine_of_their_vectors(tab, server):
    lines = ["bad", "good bad", "nothing at all", "good", "", "good good bad"]
    deep(tab, server, model="number", mode="nearest", text="good", texts="\n".join(lines))
    assert texts(tab, ".near li > span:last-child") == ["good", "good good bad", "good bad", "bad", "nothing at all"]
    cosines = [1, 2 / math.sqrt(5), 1 / math.sqrt(2), 0]
    assert texts(tab, ".near .number") == [*(f"{value:.3f}" for value in cosines), "–"]
    assert (
        "2 numbers" in texts(tab, ".answer .note")[0]
        and "With so few, many texts are equally near." in texts(tab, ".answer .note")[0]
    )
    body = json.loads(texts(tab, "pre")[0].split("'")[1])
    assert body == {"signature_name": "embed", "instances": ["good", *(line for line in lines if line)]}


def test_many_long_texts_are_bounded(tab, server):
    lines = [f"good {'bad ' * (i % 7)}{'x' * (400 if i == 0 else 0)} {i}" for i in range(520)]
    before = len(tab.requests)
    tab.open(f"{server}#model=number&mode=nearest&text=good")
    tab.until("document.querySelector('textarea[name=texts]')")
    tab.run(f"document.querySelector('textarea[name=texts]').value = {json.dumps(chr(10).join(lines))}")
    tab.run("document.querySelector('form').requestSubmit()")
    tab.until("document.querySelector('.near') && !document.querySelector('[aria-busy]')")
    warnings = texts(tab, ".warning")
    assert warnings == [
        "Only the first 500 texts of 520 were read.",
        "1 text of 501 is longer than the model reads: a part was left out.",
    ]
    assert len(texts(tab, ".near li")) == 50 and max(map(len, texts(tab, ".near li > span:last-child"))) <= 301
    tab.run(
        "[...document.querySelectorAll('.answer button')].find((e) => e.textContent === 'Show the other 450').click()"
    )
    assert (
        len(texts(tab, ".near li")) == 500
        and len([url for url in tab.requests[before:] if url.endswith(":predict")]) == 8
    )
    deep(tab, server, model="number", mode="nearest", text="unknown", texts="\n")
    assert texts(tab, ".error") == ["There are no texts to rank: paste some, one a line."]
    deep(tab, server, model="number", mode="nearest", text="unknown", texts="good\nbad")
    assert "nothing is near to it" in texts(tab, ".warning")[0] and texts(tab, ".near .number") == ["–", "–"]


LOOKS = [
    *({"model": name, "text": TEXT} for name in ("stars", "labels", "number")),
    {"model": "pairs", "text": TEXT, "text_b": "bad"},
    {"model": "number", "mode": "nearest", "text": TEXT, "texts": "good " * 90 + "\nbad"},
]


@pytest.mark.parametrize("width, dark", [(1200, False), (360, True)])
def test_all_text_has_contrast_and_nothing_is_wider_than_the_screen(tab, server, width, dark):
    tab.look(width, dark)
    for given in LOOKS:
        deep(tab, server, **given)
        count, poor = tab.run(CONTRAST)
        assert count > 10 and poor == [], given
        assert tab.run("document.documentElement.scrollWidth") <= width, given
        unnamed = "[...document.querySelectorAll('input, textarea, select')].filter((e) => !e.labels?.length).length"
        assert tab.run(unnamed) == 0, given
    tab.look(1200, dark=False)
