"""The endpoint as a whole: start, new versions and lists under load, many models at once, and every way to end."""

import ctypes
import shutil
import signal
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from nlp_suite.serving.status import ServingError
from nlp_suite.serving.warmup import FILE as WARM_UP
from tests.serving import toy_models
from tests.serving.endpoint import Command, Endpoint, http_ask, model_list, tensor
from tests.serving.fake_servables import until

FAST = {"file_system_poll_wait_seconds": 1}


def put(folder, version, plus=None):
    """A version of half_plus that adds its own number, written elsewhere and renamed."""
    hidden = folder / f".{version}"
    toy_models.half_plus(hidden, float(version if plus is None else plus))
    return hidden.rename(folder / str(version))


class Load:
    """Threads that ask again and again, as a context; `found` are the answers, `failed` what else came."""

    def __init__(self, *asks):
        self.found, self.failed, self._end = [[] for _ in asks], [], threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=pair) for pair in zip(asks, self.found)]

    def _ask(self, ask, found):
        while not self._end.is_set():
            try:
                found.append(ask())
            except Exception as error:
                self.failed.append(error)
                return
            time.sleep(0.005)  # so that the loads of versions, not those who ask, have most of the cores

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(60)


# ---------------------------------------------------------------------------------------------------- new versions


@pytest.mark.slow
@pytest.mark.parametrize("batching", [True, False])
def test_new_versions_under_load_fail_no_request(tmp_path, batching):
    """Of a server in a process of its own, whose memory and time are not those of the tests before."""
    put(tmp_path / "m", 1)
    flags = {"model_name": "m", "model_base_path": tmp_path / "m", "enable_batching": batching, **FAST}
    with Command(*(f"--{name}={value}" for name, value in flags.items())) as made:
        made.wait_ready()

        def rest():
            answer = made.rest("POST", "/v1/models/m:predict", {"instances": [0.0]})
            assert answer.status == 200, answer
            return answer.json["predictions"][0]

        def grpc_():
            outputs, spec = made.predict("m", {"x": np.zeros(1, "float32")})
            assert outputs["y"].item() == spec.version.value  # a version answers as itself
            return outputs["y"].item()

        took, memory, threads = [], None, None
        with Load(rest, rest, grpc_, grpc_) as load:
            for version in range(2, 22):
                put(tmp_path / "m", version)
                renamed = time.monotonic()
                until(lambda version=version: all(found and found[-1] == version for found in load.found))
                took.append(time.monotonic() - renamed)
                if version == 3:
                    memory, threads = made.figures()
        assert not load.failed
        assert max(took) < 5
        assert all(found == sorted(found) for found in load.found)  # none went back
        until(lambda: list(made.states("m").values()) == ["AVAILABLE"] + ["END"] * 20)
        more_memory, more_threads = (then - before for then, before in zip(made.figures(), (memory, threads)))
        print([round(seconds, 1) for seconds in took], more_memory, more_threads)
        assert more_memory < 40 and more_threads <= 4


def test_two_models_and_two_versions_under_load(tmp_path):
    policy = "model_version_policy { all {} }"
    wanted = {("a", 1): 1.0, ("a", 2): 2.0, ("b", 1): 11.0, ("b", 2): 12.0}
    for (name, version), plus in wanted.items():
        put(tmp_path / name, version, plus)
    (tmp_path / "list").write_text(model_list({name: (tmp_path / name, policy) for name in "ab"}))
    (tmp_path / "batching").write_text("max_batch_size { value: 16 } batch_timeout_micros { value: 1000 }")
    flags = {"enable_batching": True, "batching_parameters_file": str(tmp_path / "batching")}
    with Endpoint(model_config_file=str(tmp_path / "list"), **flags) as made:
        until(lambda: made.available("a") == made.available("b") == [2, 1])  # the ports open with the first of each

        def asks(name, version):
            x = [0.0]

            def ask():
                x[0] += 1
                return made.half(name, x[0], version=version) - x[0] / 2

            return ask

        with Load(*[asks(*each) for each in wanted for _ in range(2)]) as load:
            until(lambda: load.failed or all(len(found) > 50 for found in load.found))
        assert not load.failed
        for found, plus in zip(load.found, [plus for plus in wanted.values() for _ in range(2)]):
            assert set(found) == {plus} and len(found) > 50


def test_a_broken_version_is_named_and_the_good_one_goes_on(tmp_path):
    put(tmp_path / "m", 1)
    with Endpoint(model_name="m", model_base_path=str(tmp_path / "m"), max_num_load_retries=0, **FAST) as made:
        broken = {2: "truncated", 3: "variables gone", 4: "warm-up fails"}
        for version, how in broken.items():
            hidden = toy_models.half_plus(tmp_path / "new")
            if how == "truncated":
                file = hidden / "saved_model.pb"
                file.write_bytes(file.read_bytes()[:-100])
            elif how == "variables gone":
                shutil.rmtree(hidden / "variables")
            else:
                (hidden / "assets.extra").mkdir()
                (hidden / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no TFRecord at all")
            hidden.rename(tmp_path / "m" / str(version))
            made.server.manager.poll_filesystem()
            until(lambda version=version: made.states("m").get(version) == "END")
            assert made.half("m", 0.0) == 1.0 and made.available("m") == [1]
            status = made.rest("GET", f"/v1/models/m/versions/{version}").json["model_version_status"][0]["status"]
            assert status["error_code"] != "OK" and status["error_message"]
        put(tmp_path / "m", 5)
        made.server.manager.poll_filesystem()
        until(lambda: made.available("m") == [5])


def test_a_list_that_is_read_again(tmp_path, caplog):
    put(tmp_path / "a", 1), put(tmp_path / "b", 7)
    file = tmp_path / "list"
    file.write_text(model_list({"a": tmp_path / "a"}))
    with Endpoint(model_config_file=str(file), model_config_file_poll_wait_seconds=1) as made:
        file.write_text("no list")
        until(lambda: "Error parsing text-format" in caplog.text)
        assert made.half("a", 0.0) == 1.0
        file.write_text(model_list({"b": tmp_path / "b"}))
        until(lambda: made.available("b") == [7] and not made.available("a"))
        assert made.half("b", 0.0) == 7.0


def test_a_model_that_does_not_load_is_no_server(tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    flags = {"model_name": "m", "model_base_path": str(tmp_path / "m"), "max_num_load_retries": 0}
    made = Endpoint(**flags)
    message = r"Failed to start server. Error: 1 servable\(s\) did not become available: \{name: m version: 1\} due to"
    with pytest.raises(ServingError, match=message), made:
        pass
    with pytest.raises(ConnectionRefusedError):
        made.rest("GET", "/v1/models/m")


# ---------------------------------------------------------------------------------------------------- the end


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A list of models that take half a second to seconds, without end, and no time."""
    folder = tmp_path_factory.mktemp("slow")
    toy_models.slow(folder / "second" / "1", loops=3000)
    toy_models.slow(folder / "endless" / "1", loops=10**9)
    put(folder / "half", 1, 2.0)
    file = folder / "list"
    file.write_text(model_list({name: folder / name for name in ("second", "endless", "half")}))
    return file


def ask_second(command):
    body = {"instances": [1.0]}
    return http_ask(command.rest_port, "POST", "/v1/models/second:predict", body).status


@pytest.mark.slow
def test_sigkill_and_restart_then_sigterm_under_load(slow):
    with Command(f"--model_config_file={slow}") as first:
        first.wait_ready()
        assert first.half("half") == 3.0
        code, log = first.end(signal.SIGKILL)
        assert code == -signal.SIGKILL and log.count(" is available") == 3
    ports = first.port, first.rest_port
    with Command(f"--model_config_file={slow}", "--log_requests=all", ports=ports) as second:
        second.wait_ready()
        assert second.half("half") == 3.0
        statuses, x = [], {"x": np.ones(1, "float32")}
        threads = [threading.Thread(target=lambda: statuses.append(ask_second(second))) for _ in range(4)]
        threads += [
            threading.Thread(target=lambda: statuses.append(second.predict("second", x)[0]["y"].item()))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        code, log = second.end()
        for thread in threads:
            thread.join(60)
        assert code == 0 and sorted(statuses) == [1.0] * 4 + [200] * 4 and "Traceback" not in log
        assert log.count("model=second version=1") == 8
        assert log.partition("ending: no new requests")[2].count("model=second version=1") >= 4  # ran on after SIGTERM
        with pytest.raises(ConnectionRefusedError):
            ask_second(second)


def test_sigterm_does_not_wait_without_end(slow):
    with Command(f"--model_config_file={slow}", "--drain_seconds=1", "--rest_api_timeout_in_ms=60000") as command:
        command.wait_ready()
        failed = []

        def ask():
            try:
                command.predict("endless", {"x": np.ones(1, "float32")}, timeout=None)
            except grpc.RpcError as error:
                failed.append(error.code().name)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        start, process = time.monotonic(), command.process.pid
        thread_ids = {int(path.name) for path in Path(f"/proc/{process}/task").iterdir()}
        # The system may hand it to any thread; Python acts on it in the main one.
        assert ctypes.CDLL(None).tgkill(process, max(thread_ids - {process}), signal.SIGTERM) == 0
        code, log = command.finished()
        assert time.monotonic() - start < 15 and code == 0
        assert "ending with requests that still ran after 1 s" in log
        for thread in threads:
            thread.join(10)
        assert set(failed) <= {"CANCELLED", "UNAVAILABLE"} and len(failed) == 2


@pytest.mark.slow
def test_sigterm_while_it_waits_for_a_version(tmp_path):
    (tmp_path / "m").mkdir()
    with Command("--model_name=m", f"--model_base_path={tmp_path / 'm'}") as command:
        for line in command.process.stderr:
            if "no versions of model m found under base path" in line:
                break
        code, log = command.end()
        assert code == 0 and "Traceback" not in log


@pytest.mark.slow
def test_sigterm_while_a_model_loads(tmp_path):
    """The end was asked for: no failure, however long the load would take."""
    model = toy_models.slow(tmp_path / "m" / "1", loops=10**9)
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["x"].CopyFrom(tensor(np.ones(1, "float32")))
    (model / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(model / WARM_UP)) as writer:
        writer.write(log.SerializeToString())
    with Command("--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--drain_seconds=1") as command:
        for line in command.process.stderr:
            if "loading m version 1 from" in line:
                break
        time.sleep(1)
        code, log = command.end()
        assert code == 0 and not any(word in log for word in ("Traceback", "Failed to start", " ready: ")), log


def test_an_end_that_was_asked_for_is_no_failure_to_start(tmp_path):
    (tmp_path / "m").mkdir()
    endpoint, started = Endpoint(model_name="m", model_base_path=str(tmp_path / "m")), []
    thread = threading.Thread(target=lambda: started.append(endpoint.server.start()))
    thread.start()
    until(lambda: endpoint.server.manager.names() == ["m"])
    endpoint.server.stop()
    thread.join(10)
    assert started == [False]
