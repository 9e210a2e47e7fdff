"""Requests that run together: the same answers as alone, whatever their neighbours are."""

import gc
import os
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nlp_suite.serving import servable as servable_module
from nlp_suite.serving.batching_parameters import BatchingParameters, read_batching_parameters
from nlp_suite.serving.caller import Caller
from nlp_suite.serving.servable import Servable, SessionSettings
from nlp_suite.serving.status import Code, ServingError

LONG = 20_000_000  # microseconds: only a full batch goes before


@pytest.fixture
def load(toys):
    """A function that loads a toy model with batching parameters."""
    loaded = []

    def make(toy, name="m", version=1, **parameters):
        parameters = {"num_batch_threads": 2, **parameters}
        loaded.append(Servable(name, version, toys(toy), SessionSettings(batching=BatchingParameters(**parameters))))
        return loaded[-1]

    yield make
    for each in loaded:
        each.close()


def together(*calls):
    """What calls answer or raise that are made at once."""

    def settled(call):
        try:
            return call()
        except (ServingError, tf.errors.OpError) as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(settled, calls))


def ids(*rows):
    return {"ids": np.array(rows, "int32"), "length": np.full(len(rows), len(rows[0]), "int32")}


def texts(*given):
    return {"text": np.array([each.encode() for each in given], object)}


def run(servable, feeds, outputs=None, signature="serving_default", timeout_ms=30000):
    definition = servable.signatures[signature]
    return servable.run(signature, feeds, outputs or list(definition.outputs), Caller(timeout_ms))


# ---------------------------------------------------------------------------------------------------- padding


def test_each_tensor_is_padded_with_its_own_first_element(load):
    model = load("two_in", max_batch_size=4, batch_timeout_micros=LONG, pad_variable_length_inputs=True)
    short, long = together(
        lambda: run(model, ids([7, 8, 9], [4, 5, 6])), lambda: run(model, ids([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]))
    )
    assert short["rows"].tolist() == long["rows"].tolist() == [4, 4]
    assert short["seen"].tolist() == [b"7,8,9,7,7", b"4,5,6,7,7"]
    assert long["seen"].tolist() == [b"1,2,3,4,5", b"0,0,0,0,0"]


def test_equal_lengths_run_together_without_padding(load):
    model = load("two_in", max_batch_size=3, batch_timeout_micros=LONG)
    rows = [7, 8, 9], [1, 2, 3], [4, 4, 4]
    found = together(*[lambda row=row: run(model, ids(row)) for row in rows])
    assert [each["rows"].tolist() for each in found] == [[3]] * 3
    assert [each["seen"].tolist() for each in found] == [[",".join(map(str, row)).encode()] for row in rows]


def test_lengths_stay_apart_without_padding(load):
    model = load("two_in", max_batch_size=2, batch_timeout_micros=LONG)
    short, long = together(lambda: run(model, ids([7, 8, 9])), lambda: run(model, ids([1, 2, 3, 4, 5])))
    assert short["rows"].tolist() == long["rows"].tolist() == [1]
    assert short["seen"].tolist() == [b"7,8,9"] and long["seen"].tolist() == [b"1,2,3,4,5"]


def test_no_columns_at_all_are_not_padded(load):
    model = load("two_in", pad_variable_length_inputs=True)
    assert run(model, ids([]))["seen"].tolist() == [b""]


# ---------------------------------------------------------------------------------------------------- alone = together


def test_the_answer_is_the_same_alone_and_together(load):
    rows = np.random.default_rng(3).normal(size=(64, 3)).astype("float32")
    alone = load("dense_3x1", max_batch_size=1)
    wanted = [run(alone, {"x": row[None]})["y"] for row in rows]
    model = load("dense_3x1", max_batch_size=16, batch_timeout_micros=2000)
    found = together(*[lambda row=row: run(model, {"x": row[None]}) for row in rows])
    np.testing.assert_array_equal([each["y"] for each in found], wanted)


def test_queues_of_signatures_outputs_models_and_versions_are_apart(load):
    settings = {"max_batch_size": 8, "batch_timeout_micros": 2000}
    cased, sized = load("two_signatures", **settings), load("two_out", **settings)
    other, newer = load("two_out", name="other", **settings), load("two_out", version=2, **settings)
    calls, wanted = [], []

    def asked(model, text, expected, outputs=None, signature="serving_default"):
        calls.append(lambda: run(model, texts(text), outputs, signature))
        wanted.append(expected)

    for number in range(12):
        text = f"Ab{number}" * (number + 1)
        asked(cased, text, {"out": text.upper()})
        asked(cased, text, {"out": text.lower()}, signature="lower")
        asked(sized, text, {"upper": text.upper()}, ["upper"])
        asked(sized, text, {"len": len(text)}, ["len"])
        asked(other, text, {"upper": text.upper(), "len": len(text)})
        asked(newer, text, {"upper": text.upper(), "len": len(text)}, ["upper", "len"])
    for found, expected in zip(together(*calls), wanted):
        given = {alias: value.item() for alias, value in found.items()}
        assert {k: v.decode() if isinstance(v, bytes) else v for k, v in given.items()} == expected


def test_outputs_come_whatever_their_order(load):
    model = load("two_out")
    first, second = run(model, texts("a"), ["upper", "len"]), run(model, texts("a"), ["len", "upper"])
    assert first == second == {"len": np.array([1]), "upper": np.array([b"A"], object)}
    assert len(model._batched) == 1


def test_more_sets_of_outputs_than_queues_are_answered_too(load, monkeypatch):
    monkeypatch.setattr(servable_module, "_MAX_BATCHED_FORMS", 1)
    model = load("two_out", max_batch_size=1)
    for outputs in (["upper"], ["len"], ["len", "upper"]):
        assert sorted(run(model, texts("abc"), outputs)) == outputs
    assert [form is None for form in model._batched.values()] == [False, True, True]


@pytest.mark.parametrize("signature, alias", [("serving_default", "y"), ("regress_x_to_y", "outputs")])
def test_a_graph_of_tensorflow_1_that_is_fed_in_its_midst_runs_together(load, signature, alias):
    model = load("half_plus", max_batch_size=2, batch_timeout_micros=LONG)
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(2.0)
    feeds = {"x": np.array([[2.0]], "float32")}
    if signature != "serving_default":
        feeds = {"inputs": np.array([example.SerializeToString()], object)}
    start = time.perf_counter()
    for found in together(*[lambda: run(model, feeds, signature=signature)] * 2):
        assert found[alias].tolist() == [[3.0]]
    assert time.perf_counter() - start < LONG / 2e6  # neither waited for the batch's time to be up


def test_a_model_with_reference_variables_is_served_without_batches(load, caplog):
    model = load("of_reference_variables")
    assert run(model, {"x": np.array([1.5], "float32")})["y"].tolist() == [3.0]
    assert "serving_default is not batched: 'w' is a reference variable" in caplog.text


# ---------------------------------------------------------------------------------------------------- one bad request


def test_a_text_that_the_model_refuses_fails_alone(load):
    model = load("numbers", max_batch_size=4, batch_timeout_micros=LONG)
    good, bad, other = together(
        lambda: run(model, texts("1.5")), lambda: run(model, texts("two", "2")), lambda: run(model, texts("3"))
    )
    assert good["y"].tolist() == [1.5] and other["y"].tolist() == [3.0]
    assert isinstance(bad, tf.errors.InvalidArgumentError) and "could not correctly convert string: two" in bad.message


@pytest.mark.parametrize(
    "feeds, text",
    [
        ({"x": np.zeros([2, 4], "float32")}, r"input x has shape \[2, 4\]; the signature says \['\?', 3\]"),
        ({"x": np.zeros([2, 3], "float64")}, r"Expects arg\[0\] to be float but double is provided"),
        ({"x": np.array([[b"a"] * 3], object)}, r"Expects arg\[0\] to be float but string is provided"),
        ({"x": np.zeros([9, 3], "float32")}, "Task size 9 is larger than maximum input batch size 8"),
        ({"x": np.float32(1)}, "must have at least one dimension"),
    ],
)
def test_what_could_never_run_together_is_refused_before_it_waits(load, feeds, text):
    model = load("dense_3x1", max_batch_size=8, batch_timeout_micros=LONG)
    with pytest.raises(ServingError, match=text) as caught:
        run(model, feeds)
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_another_rank_is_left_to_the_graph(load):
    model = load("echo_string", max_batch_size=8, batch_timeout_micros=LONG)
    assert run(model, {"text": np.array([[b"a", b"b"]], object)})["out"].tolist() == [[b"a", b"b"]]


def test_no_rows_are_answered_at_once(load):
    model = load("dense_3x1", max_batch_size=8, batch_timeout_micros=LONG)
    assert run(model, {"x": np.zeros([0, 3], "float32")})["y"].shape == (0, 1)


# ---------------------------------------------------------------------------------------------------- parameters


def test_batches_are_filled_up_to_an_allowed_size(load):
    model = load("two_in", max_batch_size=8, allowed_batch_sizes=(2, 4, 8), pad_variable_length_inputs=True)
    for rows, ran in [(1, 2), (2, 2), (3, 4), (5, 8)]:
        found = run(model, ids(*[[n, n] for n in range(rows)]))
        assert found["rows"].tolist() == [ran] * rows
        assert found["seen"].tolist() == [f"{n},{n}".encode() for n in range(rows)]


@pytest.mark.parametrize("sizes", [(), (1, 4)])
def test_large_requests_are_split(load, sizes):
    settings = {"enable_large_batch_splitting": True, "max_execution_batch_size": 4, "allowed_batch_sizes": sizes}
    model = load("two_in", max_batch_size=16, pad_variable_length_inputs=True, **settings)
    found = run(model, ids(*[[n, n + 1] for n in range(11)]))
    assert found["seen"].tolist() == [f"{n},{n + 1}".encode() for n in range(11)]
    assert found["rows"].tolist() == [4] * 8 + [4 if sizes else 3] * 3


def test_a_full_queue_is_unavailable(load):
    model = load("slow", max_batch_size=1, max_enqueued_batches=1, num_batch_threads=1)
    x = {"x": np.ones(1, "float32")}
    run(model, x)
    found = together(*[lambda: run(model, x)] * 8)
    answered = [each for each in found if isinstance(each, dict)]
    refused = [each for each in found if isinstance(each, tf.errors.UnavailableError)]
    assert answered and refused and len(answered) + len(refused) == 8
    assert "batch scheduling queue" in refused[0].message


def test_a_request_whose_time_is_up_in_a_queue_is_told_with_its_batch(load):
    model = load("dense_3x1", max_batch_size=8, batch_timeout_micros=300_000)
    with pytest.raises(tf.errors.DeadlineExceededError):
        run(model, {"x": np.zeros([1, 3], "float32")}, timeout_ms=50)


def test_a_request_whose_time_is_up_is_ended(toys):
    model = Servable("m", 1, toys("slow"), SessionSettings())
    times = [time.perf_counter()]
    model.run("serving_default", {"x": np.ones(1, "float32")}, ["y"])
    times.append(time.perf_counter())
    with pytest.raises(tf.errors.DeadlineExceededError):
        model.run("serving_default", {"x": np.ones(1, "float32")}, ["y"], Caller(20))
    times.append(time.perf_counter())
    model.close()
    assert times[2] - times[1] < (times[1] - times[0]) / 2


def test_the_batching_file(tmp_path):
    file = tmp_path / "batching.config"
    file.write_text(
        "max_batch_size { value: 64 } batch_timeout_micros { value: 500 } allowed_batch_sizes: [8, 32] "
        "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 32 } "
        "pad_variable_length_inputs: true num_batch_threads { value: 3 } max_enqueued_batches { value: 5 }"
    )
    assert read_batching_parameters(file) == BatchingParameters(
        max_batch_size=64,
        batch_timeout_micros=500,
        max_enqueued_batches=5,
        num_batch_threads=3,
        allowed_batch_sizes=(8, 32),
        enable_large_batch_splitting=True,
        max_execution_batch_size=32,
        pad_variable_length_inputs=True,
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("max_batch_siz { value: 64 }", "Error parsing text-format tensorflow.serving.BatchingParameters"),
        ("max_batch_size { value: 0 }", "max_batch_size is 0; allowed: 1 or more"),
        ('thread_pool_name { value: "p" }', "thread_pool_name is not supported"),
        ("allowed_batch_sizes: [4, 2]", "must be positive and increasing"),
        ("max_execution_batch_size { value: 4 }", "needs enable_large_batch_splitting"),
    ],
)
def test_what_the_batching_file_may_not_say(tmp_path, text, message):
    (tmp_path / "batching.config").write_text(text)
    with pytest.raises(ServingError, match=message):
        read_batching_parameters(tmp_path / "batching.config")


# ---------------------------------------------------------------------------------------------------- what is left


def threads():
    return len(list(Path("/proc/self/task").iterdir()))


def resident():
    """Megabytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


@pytest.mark.slow
def test_a_closed_model_leaves_no_threads_no_graph_and_no_memory(toys):
    def once():
        model = Servable("m", 1, toys("two_in"), SessionSettings(batching=BatchingParameters(num_batch_threads=3)))
        together(*[lambda: run(model, ids([1, 2]))] * 4, lambda: run(model, ids([1, 2]), ["seen"]))
        model.close()
        return weakref.ref(model._graph)

    once()
    gc.collect()
    before, memory = threads(), resident()
    for _ in range(20):
        graph = once()
        gc.collect()
        assert graph() is None
    assert threads() <= before + 1
    assert resident() - memory < 10
