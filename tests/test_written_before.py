"""Runs, SavedModels and `.keras` files written before tasks were folders still open and answer the same.

The archive was made at commit 6d35646 from networks with random weights; `answers.json` holds what that code answered.
"""

import json
import math
import tarfile
from pathlib import Path

import pytest

from nlp_suite.export.load import load
from nlp_suite.text.text_layer import TextLayer

ARCHIVE = Path(__file__).parent / "fixtures" / "written_at_6d35646.tar.xz"
TEXTS = ["a fine film and a great cast", "not a fine film , a dull plot", "", "Größe 日本 the cat"]
REQUESTS = {
    # What was written then does not say whether a text was truncated.
    "sentiment": {"predict": lambda model: [without(answer, "truncated") for answer in model.predict(TEXTS)]},
    "language_model": {
        "score": lambda model: model.score(TEXTS),
        "generate": lambda model: model.generate(["the cat", "a"], max_tokens=8, temperature=0.0),
        "next_tokens": lambda model: model.next_tokens(["the cat"], 3),
    },
    "translation": {
        "translate": lambda model: model.translate(["the cat sees a dog .", "the bird"]),
        "score": lambda model: model.score(["the cat"], ["die Katze"]),
    },
}


def without(answer, name):
    """An answer of today, in which `name` must be false, as those of that time were."""
    assert answer.pop(name) is False
    return answer


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("form", ["run", "saved_model", "model.keras"])
@pytest.mark.parametrize("task", REQUESTS)
def test_answers_are_the_same(written, task, form):
    expected = json.loads((written / task / "answers.json").read_text("utf-8"))[form]
    model = load(written / task / form)
    answers = {name: ask(model) for name, ask in REQUESTS[task].items()}
    assert differences(json.loads(json.dumps(answers)), expected) == []


@pytest.mark.parametrize("task", REQUESTS)
def test_text_layers_are_the_same(written, task):
    """Their fingerprints, by which prepared data are found again, and what they make of a text."""
    layer = TextLayer.load(written / task / "run" / "text")
    assert (
        layer.fingerprint
        == json.loads((written / task / "run" / "text" / "text.json").read_text("utf-8"))["fingerprint"]
    )
    assert (layer.settings.invisible, layer.settings.strip_html) == ("keep", task == "sentiment" and "tags")
    assert "\u200b" in layer.normalise(["a\u200bb"])[0]


def differences(value, expected, place="answers") -> list[str]:
    """Where two values of JSON differ: numbers by more than rounding, all else at all."""
    if isinstance(expected, dict) and isinstance(value, dict) and value.keys() == expected.keys():
        return [line for key in expected for line in differences(value[key], expected[key], f"{place}.{key}")]
    if isinstance(expected, list) and isinstance(value, list) and len(value) == len(expected):
        return [line for i, row in enumerate(expected) for line in differences(value[i], row, f"{place}[{i}]")]
    if isinstance(expected, float) and isinstance(value, float):
        same = math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-6)
    else:
        same = type(value) is type(expected) and value == expected
    return [] if same else [f"{place} is {value!r}, was {expected!r}"]
