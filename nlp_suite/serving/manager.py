"""Which versions are loaded: loading, unloading, labels and states, so that no request meets a half-loaded version."""

import gc
import logging
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_suite.serving.metrics import Metrics
from nlp_suite.serving.model_config import check_model_config, model_folder
from nlp_suite.serving.servable import Servable, SessionSettings
from nlp_suite.serving.status import Code, ServingError, as_serving_error, invalid_argument
from nlp_suite.serving.versions import desired_versions
from nlp_suite.serving.warmup import warm_up

logger = logging.getLogger(__name__)
START, LOADING, AVAILABLE, UNLOADING, END = 10, 20, 30, 40, 50  # ModelVersionStatus.State


@dataclass
class _Version:
    """The state of one version of a model.

    `desired` and END together mean given up: it stays so until the version has been gone from its folder.
    """

    path: Path
    state: int = START
    desired: bool = True  # whether the policy still asks for it
    error: ServingError | None = None
    servable: Servable | None = None
    users: int = 0  # requests that are running on it
    attempts: int = 0
    retry: threading.Timer | None = None  # the next attempt, while one is scheduled


class Manager:
    """Loads what the model list and the folders ask for, and hands out loaded versions.

    A new version is loaded and warmed up before an older one is let go, an old one is closed when its last request is
    answered, and a version that cannot be loaded never takes the place of one that could.

    One lock guards all states and is never held while files are read, a model loads or a request runs. Every change
    of a state ends in `_reconcile`, which starts whatever follows from it.

    Args:
        settings: how sessions are made.
        metrics: where the time of warm-ups is noted.
        warmup: whether warm-up files are run.
        warmup_iterations: times that each warm-up record runs.
        max_retries: how often a failed load is tried again.
        retry_seconds: the time between.
        load_threads: versions that load at once; 0: one a core.
        labels_for_unavailable: whether a new label may name a version that is not available.
    """

    def __init__(
        self,
        settings: SessionSettings | None = None,
        *,
        metrics: Metrics | None = None,
        warmup: bool = True,
        warmup_iterations: int = 1,
        max_retries: int = 5,
        retry_seconds: float = 60.0,
        load_threads: int = 0,
        labels_for_unavailable: bool = False,
    ):
        self._settings, self._metrics = settings or SessionSettings(), metrics or Metrics()
        self._warmup, self._iterations = warmup, warmup_iterations
        self._max_retries, self._retry_seconds = max_retries, retry_seconds
        self._labels_for_unavailable = labels_for_unavailable
        self._loaders = ThreadPoolExecutor(load_threads or os.cpu_count() or 1, "load")
        self._changed = threading.Condition(threading.RLock())
        self._applying, self._polling = threading.Lock(), threading.Lock()  # one list, one poll at a time
        self._configs: dict[str, Any] = {}  # name → ModelConfig
        self._desired: dict[str, dict[int, Path]] = {}  # name → what policy and folder ask for
        self._models: dict[str, dict[int, _Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._closing = False

    def apply_config(self, config: Any, wait_seconds: float | None = None) -> None:
        """Serves what a `ModelServerConfig` lists, and nothing else; returns when new models are available.

        Args:
            config: the complete list; it replaces the previous one.
            wait_seconds: how long to wait for new models; default: until they are available or have failed.

        Raises:
            ServingError: the list is wrong (nothing is changed then), or a new model did not become available.
        """
        start = time.monotonic()
        if not self._applying.acquire(timeout=-1 if wait_seconds is None else wait_seconds):
            raise ServingError(Code.DEADLINE_EXCEEDED, f"another list was applied for more than {wait_seconds:g} s")
        try:
            left = None if wait_seconds is None else max(0.0, start + wait_seconds - time.monotonic())
            self._apply_config(config, left)
        finally:
            self._applying.release()

    def _apply_config(self, config: Any, wait_seconds: float | None) -> None:
        check_model_config(config)
        configs = {model.name: model for model in config.model_config_list.config}
        with self._changed:
            new = [name for name in configs if name not in self._configs]
            known = {name: model for name, model in configs.items() if name not in new}
            for model in known.values():
                self._check_labels(model)
            self._configs = configs
            self._labels = {name: dict(model.version_labels) for name, model in known.items()}
        self.poll_filesystem()
        self._wait_until_available(new, wait_seconds)
        with self._changed:
            for name in new:
                self._check_labels(configs[name])
                self._labels[name] = dict(configs[name].version_labels)

    def _check_labels(self, config: Any) -> None:
        available = self._available(config.name)
        for label, version in sorted(config.version_labels.items()):
            if version in available:
                continue
            previous = self._labels.get(config.name, {}).get(label)
            if self._labels_for_unavailable and previous in (None, version):
                continue
            raise ServingError(
                Code.FAILED_PRECONDITION,
                f"Request to assign label to version {version} of model {config.name}, which is not currently available "
                "for inference",
            )

    def _wait_until_available(self, names: list[str], seconds: float | None) -> None:
        """Waits until every named model has an available version, or none that could become available."""

        def settled() -> bool:
            return self._closing or all(self._available(name) or self._failed(name) for name in names)

        with self._changed:
            if not self._changed.wait_for(settled, seconds):
                raise ServingError(Code.DEADLINE_EXCEEDED, f"models not available within {seconds:.3g} s: {names}")
            failed = [name for name in names if not self._available(name)]
            if failed:
                reasons = [
                    f"{{name: {name} version: {number}}} due to error: {entry.error.code.name}: {entry.error.message}"
                    for name in failed
                    for number, entry in self._models.get(name, {}).items()
                    if entry.error
                ]
                raise ServingError(
                    Code.UNKNOWN, f"{len(failed)} servable(s) did not become available: {'; '.join(reasons) or failed}"
                )

    def _failed(self, name: str) -> bool:
        entries = [entry for entry in self._models.get(name, {}).values() if entry.desired]
        return bool(entries) and all(entry.state == END for entry in entries)

    def poll_filesystem(self) -> None:
        """Reads the folders once, and starts to load and to unload what they and the policies ask for."""
        with self._polling:
            with self._changed:
                configs = dict(self._configs)
            polled = {name: self._read_versions(config) for name, config in configs.items()}
            with self._changed:
                for name, versions in polled.items():
                    if versions is not None and self._configs.get(name) is configs[name]:
                        self._desired[name] = versions
                self._desired = {name: versions for name, versions in self._desired.items() if name in self._configs}
                self._reconcile()

    def _read_versions(self, config: Any) -> dict[int, Path] | None:
        """The versions that folder and policy ask for; None where the folder is absent or cannot be read at present.

        What is loaded is then kept: a folder that is moved or mounted anew is absent for a moment.
        """
        try:
            versions = desired_versions(model_folder(config), config.model_version_policy)
        except (OSError, ValueError) as error:
            logger.error("cannot look for versions of model %s: %s", config.name, error)
            return None
        if not versions:
            logger.warning("no versions of model %s found under base path %s", config.name, config.base_path)
        return versions

    def _reconcile(self) -> None:
        """Starts what the states ask for; call it with the lock held, after any change."""
        for name in {**self._models, **self._desired}:
            entries, desired = self._models.setdefault(name, {}), self._desired.get(name, {})
            for version, path in desired.items():
                entry = entries.get(version)
                if entry is None or (entry.state == END and not entry.desired):
                    self._start_loading(name, version, path)
                elif entry.state != UNLOADING:  # that one is loaded anew when it has been unloaded
                    entry.desired = True
            for version, entry in entries.items():
                entry.desired = entry.desired and version in desired
                if not entry.desired and entry.retry is not None:
                    entry.retry.cancel()
                    entry.state, entry.retry = END, None
            wanted = [entry for entry in entries.values() if entry.desired]
            if not wanted or any(entry.state == AVAILABLE for entry in wanted):
                for version, entry in entries.items():
                    if entry.state == AVAILABLE and not entry.desired:
                        entry.state = UNLOADING
                        threading.Thread(target=self._unload, args=(name, version, entry), daemon=True).start()
        self._changed.notify_all()

    def _start_loading(self, name: str, version: int, path: Path) -> None:
        if not self._closing:
            entry = self._models[name][version] = _Version(path)
            logger.info("loading %s version %d from %s", name, version, path)
            self._loaders.submit(self._load, name, version, entry)

    def _load(self, name: str, version: int, entry: _Version) -> None:
        """One attempt, in a thread of the loaders."""
        with self._changed:
            entry.retry = None
            if self._closing or not entry.desired:
                entry.state, entry.desired = END, False
                self._reconcile()
                return
            entry.state, entry.attempts = LOADING, entry.attempts + 1
        servable = failure = None
        try:
            servable = self._load_servable(name, version, entry.path)
        except BaseException as error:
            cause = as_serving_error(error)
            failure = ServingError(cause.code, cause.message)  # without a traceback, which would hold the graph
        with self._changed:
            entry.servable, entry.error = servable, failure
            if failure is None:
                entry.state = AVAILABLE
                logger.info("%s version %d is available", name, version)
            else:
                attempt = f"attempt {entry.attempts} of {self._max_retries + 1}"
                logger.error("cannot load %s version %d (%s): %s", name, version, attempt, failure.message)
                if entry.attempts <= self._max_retries and not self._closing:
                    entry.retry = threading.Timer(self._retry_seconds, self._retry, (name, version, entry))
                    entry.retry.daemon = True
                    entry.retry.start()
                else:
                    entry.state = END
            self._reconcile()

    def _retry(self, name: str, version: int, entry: _Version) -> None:
        with self._changed:
            if entry.retry is not None and not self._closing:
                self._loaders.submit(self._load, name, version, entry)

    def _load_servable(self, name: str, version: int, path: Path) -> Servable:
        """The version, loaded and warmed up."""
        servable = Servable(name, version, path, self._settings)
        if not self._warmup:
            return servable
        start, status, records = time.perf_counter(), "OK", 1
        try:
            records = warm_up(servable, self._iterations)
        except BaseException as error:
            status = as_serving_error(error).code.name
            servable.close()
            raise
        finally:
            if records:
                microseconds = (time.perf_counter() - start) * 1e6
                self._metrics.observe("model_warmup_latency", microseconds, model_path=str(path), status=status)
        return servable

    def _unload(self, name: str, version: int, entry: _Version) -> None:
        with self._changed:
            self._changed.wait_for(lambda: entry.users == 0)
            servable, entry.servable = entry.servable, None
        if servable is not None:
            servable.close()
        del servable
        if not self._closing:
            gc.collect()  # a graph's operations refer to each other, and nothing else frees it soon
        with self._changed:
            entry.state = END
            logger.info("%s version %d is unloaded", name, version)
            self._reconcile()

    def _available(self, name: str) -> dict[int, _Version]:
        return {v: entry for v, entry in self._models.get(name, {}).items() if entry.state == AVAILABLE}

    @contextmanager
    def use(self, spec: Any) -> Iterator[Servable]:
        """The servable that a `ModelSpec` names, kept from being unloaded within the context.

        Raises:
            ServingError: no such model, version or label.
        """
        with self._changed:
            entry = self._find(spec)
            entry.users += 1
            servable = entry.servable
        assert servable is not None  # an available version has one
        try:
            yield servable
        finally:
            del servable
            with self._changed:
                entry.users -= 1
                if entry.state == UNLOADING and not entry.users:
                    self._changed.notify_all()

    def _find(self, spec: Any) -> _Version:
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        available, choice = self._available(spec.name), spec.WhichOneof("version_choice")
        if choice == "version_label":
            labels = self._labels.get(spec.name, {})
            if spec.version_label not in labels:
                raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
            version = labels[spec.version_label]
        elif choice == "version":
            version = spec.version.value
        else:
            version = max(available, default=-1)
        if version not in available:
            request = f"Latest({spec.name})" if choice is None else f"Specific({spec.name}, {version})"
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {request}")
        return available[version]

    def status(self, name: str, version: int | None = None) -> list[tuple[int, int, ServingError | None]]:
        """`(version, state, error)` of a model's versions, newest first; unloaded ones stay listed.

        Raises:
            ServingError: NOT_FOUND, of the model or the version.
        """
        with self._changed:
            entries = self._models.get(name, {})
            states = [(v, e.state, e.error) for v, e in sorted(entries.items(), reverse=True) if version in (None, v)]
        if not states:
            missing = "any versions" if version is None else f"version {version}"
            raise ServingError(Code.NOT_FOUND, f"Could not find {missing} of model {name}")
        return states

    def names(self) -> list[str]:
        """The models of the list, in its order."""
        return list(self._configs)  # a dict that is replaced, never changed

    def close(self, wait_seconds: float | None = None) -> bool:
        """Stops loading and unloads everything, each version after its last request.

        Args:
            wait_seconds: how long to wait for running requests and loads; default: as long as it takes.

        Returns:
            Whether everything is unloaded.
        """
        with self._changed:
            self._closing, self._configs, self._desired = True, {}, {}
            self._reconcile()
        self._loaders.shutdown(wait=False, cancel_futures=True)

        def ended() -> bool:
            entries = [entry for versions in self._models.values() for entry in versions.values()]
            return all(entry.state in (START, END) for entry in entries)

        with self._changed:
            return bool(self._changed.wait_for(ended, wait_seconds))
