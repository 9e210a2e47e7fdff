"""States of versions, with models that only pretend to load: policies, retries, races, the end."""

import random
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nlp_suite.serving import manager as manager_module
from nlp_suite.serving.manager import AVAILABLE, END, LOADING, UNLOADING
from nlp_suite.serving.metrics import Metrics
from nlp_suite.serving.status import Code, ServingError
from tests.serving.fake_servables import ALL, FakeServable, answering, apply, put, spec, states, until

# ---------------------------------------------------------------------------------------------------- versions


def test_the_newest_version_answers(make_manager, tmp_path):
    put(tmp_path, 9), put(tmp_path, 10)
    manager = make_manager()
    apply(manager, {"m": tmp_path})
    assert answering(manager) == 10 and states(manager) == {10: AVAILABLE}


def test_the_latest_two(make_manager, tmp_path):
    for version in (1, 2, 3):
        put(tmp_path, version)
    manager = make_manager()
    apply(manager, {"m": (tmp_path, "model_version_policy { latest { num_versions: 2 } }")})
    until(lambda: states(manager) == {2: AVAILABLE, 3: AVAILABLE})
    assert [answering(manager, version=v) for v in (2, 3)] == [2, 3]
    put(tmp_path, 4)
    manager.poll_filesystem()
    until(lambda: states(manager) == {2: END, 3: AVAILABLE, 4: AVAILABLE})
    assert [v for v, _, _ in manager.status("m")] == [4, 3, 2]  # newest first
    with pytest.raises(ServingError, match=r"Servable not found for request: Specific\(m, 2\)"):
        answering(manager, version=2)


def test_a_new_version_takes_over_only_when_it_is_there(make_manager, tmp_path):
    put(tmp_path, 1)
    manager = make_manager()
    apply(manager, {"m": tmp_path})
    put(tmp_path, 2, "0.2")
    manager.poll_filesystem()
    seen = []
    while states(manager)[2] != AVAILABLE:
        seen.append((answering(manager), states(manager)[1]))
        manager.poll_filesystem()
    assert {(1, AVAILABLE)} == set(seen) - {(2, UNLOADING), (2, END)} and answering(manager) == 2
    until(lambda: states(manager) == {1: END, 2: AVAILABLE})


def test_a_version_that_is_taken_away_is_unloaded_and_may_come_back(make_manager, tmp_path):
    put(tmp_path, 1), put(tmp_path, 2)
    manager = make_manager()
    apply(manager, {"m": (tmp_path, ALL)})
    until(lambda: states(manager) == {1: AVAILABLE, 2: AVAILABLE})
    shutil.rmtree(tmp_path / "2")
    manager.poll_filesystem()
    until(lambda: states(manager) == {1: AVAILABLE, 2: END})
    assert answering(manager) == 1
    put(tmp_path, 2)
    manager.poll_filesystem()
    until(lambda: answering(manager) == 2)


def test_a_version_goes_back_to_an_older_one(make_manager, tmp_path):
    put(tmp_path, 1), put(tmp_path, 2)
    manager = make_manager()
    apply(manager, {"m": tmp_path})
    shutil.rmtree(tmp_path / "2")
    manager.poll_filesystem()
    until(lambda: states(manager) == {1: AVAILABLE, 2: END})


def test_a_folder_that_cannot_be_read_changes_nothing(make_manager, tmp_path, monkeypatch, caplog):
    put(tmp_path, 1)
    manager = make_manager()
    apply(manager, {"m": tmp_path})

    def fails(*_):
        raise PermissionError("stale file handle")

    monkeypatch.setattr(manager_module, "desired_versions", fails)
    manager.poll_filesystem()
    assert answering(manager) == 1 and "cannot look for versions of model m: stale file handle" in caplog.text


def test_a_base_path_that_is_gone_for_a_moment_changes_nothing_and_an_empty_one_unloads(make_manager, tmp_path):
    base = tmp_path / "base"
    put(base, 1)
    manager = make_manager()
    apply(manager, {"m": base})

    def keeps_serving(version):
        manager.poll_filesystem()
        assert answering(manager) == version and states(manager)[version] == AVAILABLE

    base.rename(tmp_path / "away")
    keeps_serving(1)
    base.write_text("a file")
    keeps_serving(1)
    base.unlink()
    base.symlink_to(tmp_path / "nowhere")
    keeps_serving(1)
    base.unlink()
    put(tmp_path / "other", 2)
    base.symlink_to(tmp_path / "other")
    manager.poll_filesystem()
    until(lambda: states(manager) == {2: AVAILABLE, 1: END})
    base.unlink()
    keeps_serving(2)
    base.mkdir()
    manager.poll_filesystem()
    until(lambda: states(manager) == {2: END, 1: END})


def test_a_path_that_cannot_be_does_not_stop_the_poll_of_other_models(make_manager, tmp_path, monkeypatch, caplog):
    put(tmp_path / "good", 1)
    manager = make_manager()
    with pytest.raises(ServingError, match=r"model bad has base_path '/a\\x00b'; no path has a NUL") as caught:
        apply(manager, {"bad": "/a\\000b", "good": tmp_path / "good"})
    assert caught.value.code == Code.INVALID_ARGUMENT and manager.names() == []
    monkeypatch.setattr(manager_module, "check_model_config", lambda config: None)
    with pytest.raises(ServingError):
        apply(manager, {"bad": "/a\\000b", "long": f"/{'x' * 5000}", "good": tmp_path / "good"}, wait=0.05)
    manager.poll_filesystem()
    until(lambda: states(manager, "good") == {1: AVAILABLE})
    assert "cannot look for versions of model bad" in caplog.text


def test_requests_do_not_wait_while_a_folder_is_read(make_manager, tmp_path, monkeypatch):
    put(tmp_path, 1)
    manager = make_manager()
    apply(manager, {"m": tmp_path})
    reading, go_on = threading.Event(), threading.Event()

    def slow(*_):
        reading.set()
        assert go_on.wait(10)
        return {1: tmp_path / "1"}

    monkeypatch.setattr(manager_module, "desired_versions", slow)
    looking = threading.Thread(target=manager.poll_filesystem)
    looking.start()
    assert reading.wait(10) and answering(manager) == 1 and manager.names() == ["m"]
    go_on.set()
    looking.join(10)


# ---------------------------------------------------------------------------------------------------- what fails


def test_a_broken_version_never_replaces_a_good_one_and_is_named(make_manager, tmp_path, caplog):
    put(tmp_path, 1)
    manager = make_manager(max_retries=2)
    apply(manager, {"m": tmp_path})
    put(tmp_path, 2, "broken")
    manager.poll_filesystem()
    until(lambda: states(manager)[2] == END)
    assert caplog.text.count("cannot load m version 2") == 3
    for _ in range(3):
        manager.poll_filesystem()
    assert answering(manager) == 1 and states(manager) == {2: END, 1: AVAILABLE}
    error = manager.status("m", 2)[0][2]
    assert (error.code, error.message) == (Code.DATA_LOSS, "2 is broken")
    assert error.__traceback__ is None and error.__cause__ is None  # which would keep the graph
    put(tmp_path, 3)
    manager.poll_filesystem()
    until(lambda: states(manager) == {3: AVAILABLE, 2: END, 1: END})


def test_a_failing_warm_up_is_a_failed_load(make_manager, tmp_path, monkeypatch):
    metrics = Metrics()

    def warm(servable, iterations):
        if servable.version == 2:
            raise ServingError(Code.INVALID_ARGUMENT, "warmup record 1 fails")
        return 1

    monkeypatch.setattr(manager_module, "warm_up", warm)
    put(tmp_path, 1)
    manager = make_manager(max_retries=0, metrics=metrics)
    apply(manager, {"m": tmp_path})
    put(tmp_path, 2)
    manager.poll_filesystem()
    until(lambda: states(manager)[2] == END)
    assert answering(manager) == 1 and FakeServable.alive == 1
    assert manager.status("m", 2)[0][2].message == "warmup record 1 fails"
    text = metrics.text().decode()
    for version, status in [(1, "OK"), (2, "INVALID_ARGUMENT")]:
        labels = f'model_path="{tmp_path / str(version)}",status="{status}"'
        assert f":tensorflow:serving:model_warmup_latency_count{{{labels}}} 1" in text


def test_a_version_that_is_mended_is_loaded_by_a_retry(make_manager, tmp_path):
    put(tmp_path, 1, "broken")
    manager = make_manager()
    threading.Timer(0.05, lambda: (tmp_path / "1" / "what").write_text("good")).start()
    apply(manager, {"m": tmp_path})
    assert answering(manager) == 1 and manager.status("m")[0][2] is None


def test_a_given_up_version_is_tried_anew_when_it_has_been_away(make_manager, tmp_path):
    put(tmp_path, 1, "broken")
    manager = make_manager(max_retries=0)
    with pytest.raises(ServingError, match=r"1 servable\(s\) did not become available: .*DATA_LOSS: 1 is broken"):
        apply(manager, {"m": tmp_path})
    shutil.rmtree(tmp_path / "1")
    manager.poll_filesystem()
    put(tmp_path, 1)
    manager.poll_filesystem()
    until(lambda: states(manager) == {1: AVAILABLE})


def test_waiting_for_a_retry_keeps_no_loader(make_manager, tmp_path):
    put(tmp_path / "bad", 1, "broken"), put(tmp_path / "good", 1)
    manager = make_manager(load_threads=1, retry_seconds=60)
    apply_in_thread = threading.Thread(
        target=apply, args=(manager, {"m": tmp_path / "bad", "n": tmp_path / "good"}, 60)
    )
    apply_in_thread.start()
    until(lambda: manager.names() and states(manager).get(1) == LOADING)
    until(lambda: states(manager, "n") == {1: AVAILABLE})
    shutil.rmtree(tmp_path / "bad" / "1")  # what is taken away is not waited for
    manager.poll_filesystem()
    until(lambda: states(manager) == {1: END})
    put(tmp_path / "bad", 1)
    manager.poll_filesystem()
    apply_in_thread.join(10)
    assert not apply_in_thread.is_alive() and answering(manager) == 1


# ---------------------------------------------------------------------------------------------------- use and unload


def test_a_version_is_closed_after_its_last_request(make_manager, tmp_path):
    put(tmp_path, 1)
    manager = make_manager()
    apply(manager, {"m": tmp_path})
    with manager.use(spec()) as first, manager.use(spec()):
        put(tmp_path, 2)
        manager.poll_filesystem()
        until(lambda: answering(manager) == 2)
        assert first.version == 1 and first.open and states(manager)[1] == UNLOADING
        with pytest.raises(ServingError, match="Servable not found"):
            answering(manager, version=1)
    until(lambda: states(manager)[1] == END)
    assert not first.open


def test_a_version_wanted_again_while_it_unloads_is_loaded_anew_without_another_look(make_manager, tmp_path):
    put(tmp_path, 1)
    manager = make_manager()
    apply(manager, {"m": tmp_path})
    with manager.use(spec()) as first:
        apply(manager, {})
        assert states(manager) == {1: UNLOADING}
        again = threading.Thread(target=apply, args=(manager, {"m": tmp_path}))
        again.start()
        until(lambda: manager.names() == ["m"])
        with pytest.raises(ServingError, match=r"Latest\(m\)"):
            answering(manager)
    again.join(10)
    assert not again.is_alive() and answering(manager) == 1 and not first.open and FakeServable.alive == 1


def test_a_version_unwanted_while_it_loads_is_unloaded_when_it_has_been(make_manager, tmp_path):
    put(tmp_path, 1, "0.1")
    manager = make_manager()
    with pytest.raises(ServingError, match="models not available within 0 s"):
        apply(manager, {"m": tmp_path}, wait=0)
    until(lambda: states(manager) == {1: LOADING})
    apply(manager, {})
    until(lambda: states(manager) == {1: END})
    assert FakeServable.alive == 0


def test_states_stay_right_under_lists_looks_and_requests_at_once(make_manager, tmp_path):
    folders = {name: tmp_path / name for name in "abc"}
    for folder in folders.values():
        put(folder, 1, "0.005")
    manager = make_manager()
    end, failed, answered = time.monotonic() + 1.5, [], [0]

    def again_and_again(function, seed):
        chance = random.Random(seed)
        while time.monotonic() < end:
            try:
                function(chance)
            except ServingError as error:
                if error.code not in (Code.NOT_FOUND, Code.DEADLINE_EXCEEDED):
                    failed.append(error)
            except Exception as error:
                failed.append(error)

    def new_list(chance):
        chosen = chance.sample("abc", chance.randint(0, 3))
        apply(manager, {name: (folders[name], ALL) for name in chosen}, chance.choice([0, 0.02]))

    def move(chance):
        folder = folders[chance.choice("abc")]
        version = chance.randint(2, 5)
        if (folder / str(version)).exists():
            (folder / str(version)).rename(folder / f".gone{time.monotonic_ns()}")
        else:
            put(folder / "new", version, chance.choice(["good", "0.01"])).rename(folder / str(version))

    def request(chance):
        with manager.use(spec(chance.choice("abc"))) as servable:
            assert servable.open
            time.sleep(chance.choice([0, 0.003]))
            assert servable.open
            answered[0] += 1

    jobs = [
        new_list,
        lambda _: manager.poll_filesystem(),
        lambda _: manager.poll_filesystem(),
        move,
        request,
        request,
        request,
    ]
    threads = [threading.Thread(target=again_and_again, args=job) for job in zip(jobs, range(len(jobs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failed and answered[0] > 50
    apply(manager, {name: (folder, ALL) for name, folder in folders.items()})
    for name, folder in folders.items():
        wanted = {int(child.name) for child in folder.iterdir() if child.name.isdigit()}
        until(lambda name=name, wanted=wanted: set(manager._available(name)) == wanted)
        until(lambda name=name: set(states(manager, name).values()) <= {AVAILABLE, END})


def test_close_waits_for_requests_and_loads(make_manager, tmp_path):
    put(tmp_path / "m", 1), put(tmp_path / "n", 1, "0.2")
    manager = make_manager()
    apply(manager, {"m": tmp_path / "m"})
    waiting = ThreadPoolExecutor(1).submit(apply, manager, {"m": tmp_path / "m", "n": tmp_path / "n"})
    until(lambda: "n" in manager.names() and states(manager, "n") == {1: LOADING})
    with manager.use(spec()) as servable:
        assert not manager.close(0.05) and servable.open
        with pytest.raises(ServingError, match="Servable not found"):
            answering(manager)
    assert manager.close(10) and FakeServable.alive == 0
    assert isinstance(waiting.exception(10), ServingError)
    manager.poll_filesystem()
    assert manager.names() == [] and set(states(manager, "n").values()) == {END}


def test_a_list_waits_for_the_one_before_no_longer_than_it_may(make_manager, tmp_path):
    put(tmp_path / "m", 1), (tmp_path / "empty").mkdir()
    manager = make_manager()
    waiting = threading.Thread(target=apply, args=(manager, {"n": tmp_path / "empty"}, 30))
    waiting.start()
    until(lambda: manager.names() == ["n"])
    with pytest.raises(ServingError, match=r"another list was applied for more than 0\.05 s") as caught:
        apply(manager, {"m": tmp_path / "m"}, 0.05)
    assert caught.value.code == Code.DEADLINE_EXCEEDED
    put(tmp_path / "empty", 1)
    manager.poll_filesystem()
    waiting.join(10)
    apply(manager, {"m": tmp_path / "m"})
    assert answering(manager) == 1
