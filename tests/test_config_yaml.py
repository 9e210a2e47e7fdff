"""The YAML of a config: what is written is read back equal, and what no config needs is refused before it costs anything."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nlp_suite.config import load_experiment
from nlp_suite.config_yaml import MAX_CHARACTERS, MAX_INTEGER, read_yaml, write_yaml
from nlp_suite.errors import ConfigError

AMBIGUOUS = (
    *(
        "1e3",
        "1.5e3",
        ".5e3",
        "2.10",
        "007",
        "01",
        "+1",
        "1_000",
        "0x1F",
        "0b1",
        "0o7",
        "1:30",
        ".inf",
        ".nan",
        "1e400",
    ),
    *(
        "2020-01-01",
        "2020-13-45",
        "no",
        "NO",
        "yes",
        "on",
        "off",
        "y",
        "true",
        "null",
        "~",
        "",
        "=",
        "<<",
        ":",
        "-",
        "?",
    ),
    *(
        "- a",
        "a: b",
        "a #b",
        "#a",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a",
        "[",
        "{",
        "}",
        ",",
        "|",
        ">",
        "'",
        '"',
        "\\",
        "---",
    ),
    *(
        " a",
        "a ",
        "\n",
        "a\n b\n",
        "\t",
        "\r",
        "a\r\nb",
        "\x00",
        "\x7f",
        "a\x85b",
        "\u2028",
        "\ufeffx",
        "\u200b",
        "\U0001f600",
    ),
    "a" * 200 + " b" * 200,
)
TEXTS = st.sampled_from(AMBIGUOUS) | st.text()
NUMBERS = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda items: st.lists(items, max_size=4) | st.dictionaries(TEXTS, items, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_text_that_looks_like_something_else_stays_a_text(text):
    assert read_yaml(write_yaml({text: [text]}), "here") == {text: [text]}


@given(VALUES)
def test_what_is_written_is_read_back_equal(value):
    again = read_yaml(write_yaml(value), "here")
    assert again == value and str(again) == str(value)  # 1, 1.0 and true are equal, too


@settings(max_examples=30, deadline=None)  # the first one imports every component's settings
@given(TEXTS, TEXTS, VALUES)
@example("1e3", "no", {"01": ["2020-01-01", 1e-5]})
def test_a_config_with_any_text_is_read_back_equal(text, label, argument):
    values = {
        "data": {"cache": text, "labels": [label, label + "x"]},
        "training": {"optimizer_arguments": {text: argument}},
        "export": {"description": text, "warmup_texts": [text, label]},
    }
    experiment = load_experiment(values)
    assert load_experiment(read_yaml(experiment.to_yaml(), "here")) == experiment


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: &x [1]\nb: *x", r"here: .*the alias \*x is not supported(.|\n)*line 2"),
        ("<<: *x", "the alias"),
        ("[" * 5000, "more than 32 mappings and lists within one another"),
        ("{a: " * 5000, "more than 32"),
        ("- " * 5000, "more than 32"),
        ("\n".join(" " * n + "a:" for n in range(500)), "more than 32(.|\n)*line 32"),
        ("a: 1\nb: 2\na: 3", "the key 'a' is there twice(.|\n)*line 3"),
        ("{1: a, 01: b}", "the key 1 is there twice"),
        ("a: " + "9" * 5000, r"the integer '9+…9+' of 5,000 characters is too large(.|\n)*line 1"),
        ("a: 9223372036854775808", "the integer 9223372036854775808 is too large"),
        ("a: 1e400", "'1e400' is not a finite number"),
        ("a: .nan", "'.nan' is not a finite number"),
        ("!!int 'x'", "'x' cannot be read as int"),
        ("!!bool 'x'", "'x' cannot be read as bool"),
        ("!!float ''", "'' cannot be read as float"),
        ("!!timestamp '1'", "the tag !!timestamp is not supported"),
        ("!!set {a, b}", "the tag !!set is not supported"),
        ("!!python/object:os.system x", "the tag !!python/object:os.system is not supported"),
        ("? [a]\n: 1", "unhashable key"),
        ("--- 1\n--- 2", "another document"),
        ("x" * (MAX_CHARACTERS + 1), "1,000,001 characters are no config; allowed: up to 1,000,000"),
    ],
    ids=lambda value: value[:20],
)
def test_what_no_config_needs_is_refused(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(text, "here")
    assert str(caught.value).startswith("here: ") and len(str(caught.value)) < 1000


def test_aliases_that_would_grow_without_end_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match=r"the alias \*a0 is not supported"):
        read_yaml("\n".join(lines), "here")


@pytest.mark.parametrize(
    "written, message",
    [
        (
            "data: {labels: [true, no, 01]}",
            r"data.labels: .*got True \(YAML reads true, yes and on so\): put the word in quotes",
        ),
        ("data: {labels: [no, yes]}", "data.labels: .*YAML reads false, no and off so.*in quotes"),
        ("data: {labels: [01, 02]}", "data.labels: a label is a text, got 01: put it in quotes, '01'"),
        ("data: {labels: [1.50, 2.0]}", "data.labels: .*got 1.50: put it in quotes, '1.50'"),
        ("data: {labels: [null, a]}", "data.labels: a label is a text, got None"),
        ("training: {class_weights: {no: 1, yes: 2}}", "training.class_weights: .*put the word in quotes"),
        ("training: {class_weights: {1: 1, '1': 2}}", "training.class_weights: a label is there twice"),
        ("data: {cache: 1e3}", "data.cache: .*valid string, got 1e3: put it in quotes, '1e3'"),
        ("export: {server_version: 2.10}", "export.server_version: .*got 2.10: put it in quotes, '2.10'"),
        ("training: {seed: 4294967296}", "training.seed: .*less than or equal to 4294967295, got 4294967296"),
        ("training: {epochs: 2147483648}", "training: epochs 2147483648 is too large; allowed: up to 2147483647"),
        ("training: {batch_size: 1000000000}", "training.batch_size: .*less than or equal to 1048576, got 1000000000"),
        ("task: {name: language_model, window: 2147483648}", "task: window 2147483648 is too large; allowed: up to"),
        (
            "backbone: {name: cnn, activation: glu}",
            "backbone: activation: unknown activation 'glu': did you mean 'gelu'",
        ),
        ("backbone: {name: lstm, activation: threshold}", "backbone: activation: unknown activation 'threshold'"),
    ],
)
def test_a_value_that_is_no_use_is_named_with_file_and_key(tmp_path, written, message):
    (tmp_path / "mine.yaml").write_text(written)
    with pytest.raises(ConfigError, match=rf"mine.yaml:\n  {message}"):
        load_experiment(tmp_path / "mine.yaml")


def test_an_override_is_no_deeper_than_a_file():
    with pytest.raises(ConfigError, match="more than 32 keys within one another"):
        load_experiment({}, [f"training.optimizer_arguments{'.a' * 5000}=1"])


def test_a_date_is_a_text():
    assert load_experiment({}, ["data.cache=2020-01-01"]).data.cache == "2020-01-01"


@pytest.mark.parametrize("value", [float("inf"), 2**70, {1, 2}, b"x"])
def test_arguments_that_yaml_cannot_hold_are_refused(value):
    with pytest.raises(ConfigError, match="training.optimizer_arguments: allowed are texts, finite numbers"):
        load_experiment({"training": {"optimizer_arguments": {"a": [value]}}})
