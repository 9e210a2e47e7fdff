"""Servables that only pretend to load, and how tests put versions into folders and ask for them."""

import threading
import time

from tensorflow_serving.apis import model_pb2

from nlp_suite.serving.status import Code, ServingError
from tests.serving.endpoint import model_list, parsed

ALL = "model_version_policy { all {} }"


class FakeServable:
    """A servable that loads what its folder's file `what` says: "good", "broken", or a time in seconds."""

    alive = 0
    lock = threading.Lock()

    def __init__(self, name, version, path, settings):
        what = (path / "what").read_text()
        if what == "broken":
            raise ServingError(Code.DATA_LOSS, f"{path.name} is broken")
        time.sleep(float(what) if what != "good" else 0)
        self.name, self.version, self.path, self.open = name, version, path, True
        with self.lock:
            FakeServable.alive += 1

    def close(self):
        assert self.open
        self.open = False
        with self.lock:
            FakeServable.alive -= 1


def put(folder, version, what="good"):
    """A version, written elsewhere and renamed."""
    hidden = folder / f".{version}"
    hidden.mkdir(parents=True)
    (hidden / "what").write_text(what)
    return hidden.rename(folder / str(version))


def apply(manager, models, wait=10):
    manager.apply_config(parsed(model_list(models)), wait)


def spec(name="m", version=None, label=None):
    made = model_pb2.ModelSpec(name=name)
    if version is not None:
        made.version.value = version
    if label is not None:
        made.version_label = label
    return made


def answering(manager, **which):
    """The version that answers."""
    with manager.use(spec(**which)) as servable:
        assert servable.open
        return servable.version


def states(manager, name="m"):
    try:
        return {version: state for version, state, _ in manager.status(name)}
    except ServingError:  # none yet
        return {}


def until(condition, seconds=20):
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.002)
