"""What every problem, and a model of text pairs, answers: in Python, in the graph of its signatures, alone and in a batch."""

import numpy as np
import pytest

from nlp_suite.config import load_experiment
from nlp_suite.errors import RequestError
from nlp_suite.export.signatures import CLASSIFY, REGRESS
from nlp_suite.predictor import AnswerOptions, answers_of
from nlp_suite.task import Assets
from nlp_suite.tasks.sentiment.problems import PROBLEMS
from nlp_suite.text.pairs import join_pair
from nlp_suite.text.text_layer import END, TextLayer
from nlp_suite.training.run import make_task

TEXTS = ["a fine film and a great cast", "not a fine film", "the plot is dull", "great", "", "word " * 50]
PAIRS = [
    ("is the plot dull ?", "the plot is dull"),
    ("a fine film ?", ""),
    ("", ""),
    ("word " * 40, "a great cast " * 9),
]
LABELS = {"regression": []}


def model_of(problem, **facts):
    """The predictor of a network with random weights, and what makes its signatures."""
    experiment = load_experiment(
        {
            "task": {"name": "sentiment", "problem": problem},
            "text": {"tokenizer": {"name": "word", "min_count": 1}, "max_length": 16},
            "backbone": {"name": "bag", "embedding_size": 4, "ngrams": 1},
        }
    )
    text = TextLayer.train(experiment.text, [*TEXTS, *map(" ".join, PAIRS)])
    fitted = {"thresholds": {"1": 0.45, "2": 0.5, "3": 0.55}}
    assets = Assets(text, text, LABELS.get(problem, ["1", "2", "3"]), facts, fitted)
    task = make_task(experiment)
    model = task.model(experiment.backbone, assets)
    draw = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(draw.normal(0, 0.5, variable.shape))
    predictor = task.predictor(model, assets, experiment)
    return predictor, lambda: task.signatures(model, predictor)


def check_cases(signatures, texts):
    """Every signature answers what Python does, together and one by one."""
    functions = signatures.functions()
    cases = signatures.cases(texts)
    assert sorted(case.signature for case in cases) == sorted(functions)
    for case in cases:
        for rows in (slice(None), slice(0, 1), slice(len(texts) - 1, None)):
            part = case.rows(rows)
            given = (v if isinstance(v, np.ndarray) else np.array(v, object) for v in part.inputs.values())
            answer = functions[case.signature](*given)
            assert set(part.outputs) <= set(answer)
            for name, expected in part.outputs.items():
                value = answer[name].numpy()
                assert len(value) == len(expected)
                if value.dtype.kind == "f":
                    np.testing.assert_allclose(value, expected, atol=1e-5)
                else:
                    assert value.tolist() == np.array(expected).tolist()


@pytest.mark.parametrize(
    "problem", [pytest.param(name, marks=[pytest.mark.slow] * (name != "regression")) for name in PROBLEMS]
)
def test_python_and_graph_agree(problem):
    predictor, make_signatures = model_of(problem, mean=50.0, deviation=20.0)
    signatures = make_signatures()
    check_cases(signatures, [text.encode() for text in TEXTS])
    method = REGRESS if problem == "regression" else CLASSIFY
    assert signatures.methods == {signatures.of_examples: method}
    answers, columns = answers_of(predictor, AnswerOptions(), for_people=True)
    given = answers(TEXTS)
    assert all(isinstance(cell(answer), str) for answer in given for cell in columns.values())
    assert [answer["truncated"] for answer in given] == [False] * 5 + [True]
    with pytest.raises(TypeError, match="trained without text_b"):
        predictor.predict([("a", "b")])


def test_a_model_of_pairs():
    predictor, make_signatures = model_of("single_label", text_pairs=True)
    signatures = make_signatures()
    check_cases(signatures, [join_pair(*pair).encode() for pair in PAIRS])
    answers = predictor.predict(PAIRS)
    assert answers[0] == predictor.predict(PAIRS[0]) == predictor.predict("is the plot dull ?\tthe plot is dull")
    assert answers[1] == predictor.predict("a fine film ?") and answers[3]["truncated"]
    vectors = predictor.embed(PAIRS)
    assert vectors.shape == (4, 4) and not np.allclose(vectors[0], vectors[1])
    np.testing.assert_allclose(predictor.embed(PAIRS[0]), vectors[0], atol=1e-6)
    np.testing.assert_allclose(predictor.embed(list(map("\t".join, PAIRS))), vectors, atol=1e-6)
    assert signatures.example.keys() == {"text", "text_b"}
    with pytest.raises(TypeError, match="takes a pair"):
        predictor.predict([("a", "b", "c")])


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
def test_tokens_of_a_pair(truncation, add):
    settings = load_experiment(
        {
            "text": {"tokenizer": {"name": "word", "min_count": 1}, "max_length": 12, "truncation": truncation}
            | {"add_start": add, "add_end": add}
        }
    ).text
    words = [f"w{i}" for i in range(40)]
    layer = TextLayer.train(settings, [" ".join(words)])
    ids = dict(zip(words, (int(row[int(add)]) for row in layer.encode(words))))
    room = 12 - 1 - 2 * add

    def kept(some, count):
        head = {"head": count, "tail": 0, "head_tail": count - count // 2}[truncation]
        return [ids[word] for word in [*some[:head], *some[len(some) - (count - head) :]]]

    for size, size_b in ((3, 2), (0, 0), (20, 2), (2, 20), (20, 20), (5, 30)):
        first, second = words[:size], words[size : size + size_b]
        count = min(size, max(room - size_b, room - room // 2))
        count_b = min(size_b, room - count)
        (row,), (full,) = layer.encode_pairs([join_pair(" ".join(first), " ".join(second))])
        expected = [*kept(first, count), END, *kept(second, count_b)]
        assert row.tolist() == ([2, *expected, END] if add else expected)
        assert full == size + size_b + 1 + 2 * add and len(row) == min(full, 12)


def test_options_of_answers_by_problem():
    regressor, _ = model_of("regression")
    with pytest.raises(RequestError, match="a regression model answers without top_k"):
        answers_of(regressor, AnswerOptions(top_k=1), for_people=False)
    several, _ = model_of("multi_label")
    with pytest.raises(RequestError, match="takes thresholds only, not abstain_below"):
        answers_of(several, AnswerOptions(abstain_below=0.5), for_people=False)
    with pytest.raises(RequestError, match="unknown label 'x'"):
        answers_of(several, AnswerOptions(thresholds={"x": 0.5}), for_people=False)
    plain = several.predict(TEXTS)
    answers, columns = answers_of(several, AnswerOptions(thresholds={"1": 1.0, "2": 0.0}), for_people=False)
    for answer, before in zip(answers(TEXTS), plain):
        assert "2" in answer["labels"] and "1" not in answer["labels"]
        assert ("3" in answer["labels"]) == ("3" in before["labels"])
        assert columns["labels"](answer) == ", ".join(answer["labels"])
