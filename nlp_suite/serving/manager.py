"""Which versions are loaded: loading, unloading, labels and states, so that no request ever meets a version half there."""

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from nlp_suite.serving.model_config import check_model_config
from nlp_suite.serving.servable import Servable, SessionSettings
from nlp_suite.serving.status import Code, ServingError, of_exception
from nlp_suite.serving.versions import aspired_versions
from nlp_suite.serving.warmup import warm_up

logger = logging.getLogger(__name__)
START, LOADING, AVAILABLE, UNLOADING, END = 10, 20, 30, 40, 50  # ModelVersionStatus.State


@dataclass
class _Version:
    """What is known of one version of a model."""

    path: object
    state: int = START
    error: ServingError | None = None
    servable: Servable | None = None
    users: int = 0
    wanted: bool = True  # whether the policy still asks for it


class Manager:
    """Loads what the model list and the folders ask for, and hands out loaded versions.

    A new version is loaded and warmed up before an older one is let go, an old one is closed when its last request is
    answered, and a version that cannot be loaded never takes the place of one that could.

    Args:
        settings: how sessions are made.
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
        warmup: bool = True,
        warmup_iterations: int = 1,
        max_retries: int = 5,
        retry_seconds: float = 60.0,
        load_threads: int = 0,
        labels_for_unavailable: bool = False,
    ):
        self._settings, self._warmup, self._iterations = settings or SessionSettings(), warmup, warmup_iterations
        self._max_retries, self._retry_seconds = max_retries, retry_seconds
        self._labels_for_unavailable = labels_for_unavailable
        self._loaders = ThreadPoolExecutor(load_threads or os.cpu_count() or 1, "load")
        self._changed = threading.Condition(threading.RLock())
        self._applying = threading.Lock()
        self._configs, self._models, self._labels = (
            {},
            {},
            {},
        )  # name → ModelConfig, {version: _Version}, {label: version}
        self._closing = threading.Event()

    def apply(self, config, wait_seconds: float | None = None) -> None:
        """Serves what a `ModelServerConfig` lists, and nothing else; returns when new models are available.

        Args:
            config: the whole list; it replaces the one before.
            wait_seconds: most seconds to wait for new models; default: as long as there is hope.

        Raises:
            ServingError: the list is wrong (nothing is changed then), or a new model did not become available.
        """
        with self._applying:
            check_model_config(config, self._configs)
            given = {each.name: each for each in config.model_config_list.config}
            with self._changed:
                new = [name for name in given if name not in self._configs]
                known = {name: each for name, each in given.items() if name not in new}
                for each in known.values():
                    self._check_labels(each, self._available(each.name))
                self._configs = given
                self._labels = {name: self._labels.get(name, {}) for name in given}
                for name in known:
                    self._labels[name] = dict(given[name].version_labels)
            self.look()
            self._wait(new, wait_seconds)
            with self._changed:
                for name in new:
                    self._check_labels(given[name], self._available(name))
                    self._labels[name] = dict(given[name].version_labels)

    def _check_labels(self, config, available):
        for label, version in sorted(config.version_labels.items()):
            if version in available:
                continue
            before = self._labels.get(config.name, {}).get(label)
            if self._labels_for_unavailable and before in (None, version):
                continue
            raise ServingError(
                Code.FAILED_PRECONDITION,
                f"Request to assign label to version {version} of model {config.name}, which is not currently available "
                "for inference",
            )

    def _wait(self, names, seconds):
        """Until every named model has an available version, or one has none that could become so."""

        def settled():
            return self._closing.is_set() or all(self._available(name) or self._failed(name) for name in names)

        with self._changed:
            if not self._changed.wait_for(settled, seconds):
                raise ServingError(Code.DEADLINE_EXCEEDED, f"models not available within {seconds:g} s: {names}")
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

    def _failed(self, name):
        entries = [entry for entry in self._models.get(name, {}).values() if entry.wanted]
        return bool(entries) and all(entry.state == END for entry in entries)

    def look(self) -> None:
        """Looks at the folders once, and starts to load and to unload what they and the policies ask for."""
        with self._changed:
            for name, config in self._configs.items():
                aspired = aspired_versions(config.base_path, config.model_version_policy)
                entries = self._models.setdefault(name, {})
                if not aspired and not entries:
                    logger.warning("no versions of model %s found under base path %s", name, config.base_path)
                for version, path in aspired.items():
                    self._want(name, version, path, entries)
                for version, entry in entries.items():
                    if version not in aspired:
                        entry.wanted = False
            for name, entries in self._models.items():
                if name not in self._configs:
                    for entry in entries.values():
                        entry.wanted = False
            self._let_go()

    def _want(self, name, version, path, entries):
        entry = entries.get(version)
        if entry is not None and (entry.state in (START, LOADING, AVAILABLE) or entry.wanted):
            entry.wanted = True  # there, on its way, or given up
            return
        if entry is not None and entry.state == UNLOADING:
            return  # asked for again at the next look
        entries[version] = _Version(path)
        logger.info("loading %s version %d from %s", name, version, path)
        self._loaders.submit(self._load, name, version, entries[version])

    def _load(self, name, version, entry):
        for attempt in range(self._max_retries + 1):
            with self._changed:
                entry.state = LOADING
            servable = None
            try:
                servable = Servable(name, version, entry.path, self._settings)
                if self._warmup:
                    warm_up(servable, self._iterations)
            except BaseException as error:
                if servable is not None:
                    servable.close()
                entry.error = of_exception(error)
                logger.error(
                    "cannot load %s version %d (attempt %d of %d): %s",
                    *(name, version, attempt + 1, self._max_retries + 1, entry.error.message),
                )
            else:
                with self._changed:
                    entry.servable, entry.state, entry.error = servable, AVAILABLE, None
                    logger.info("%s version %d is available", name, version)
                    self._let_go()
                    self._changed.notify_all()
                return
            if attempt < self._max_retries and entry.wanted and not self._closing.wait(self._retry_seconds):
                continue
            break
        with self._changed:
            entry.state = END
            self._let_go()
            self._changed.notify_all()

    def _let_go(self):
        """Starts to unload what is no longer wanted, unless nothing else could answer in its place."""
        for name, entries in self._models.items():
            wanted = [entry for entry in entries.values() if entry.wanted]
            replaced = not wanted or any(entry.state == AVAILABLE for entry in wanted)
            for version, entry in entries.items():
                if entry.state == AVAILABLE and not entry.wanted and replaced:
                    entry.state = UNLOADING
                    threading.Thread(target=self._unload, args=(name, version, entry), daemon=True).start()

    def _unload(self, name, version, entry):
        with self._changed:
            self._changed.wait_for(lambda: entry.users == 0)
            servable, entry.servable = entry.servable, None
        servable.close()
        with self._changed:
            entry.state = END
            self._changed.notify_all()
        logger.info("%s version %d is unloaded", name, version)

    def _available(self, name):
        return {v: entry for v, entry in self._models.get(name, {}).items() if entry.state == AVAILABLE}

    @contextmanager
    def use(self, spec):
        """The servable that a `ModelSpec` names, kept from being unloaded within the context.

        Raises:
            ServingError: no such model, version or label.
        """
        with self._changed:
            entry = self._find(spec)
            entry.users += 1
        try:
            yield entry.servable
        finally:
            with self._changed:
                entry.users -= 1
                if entry.state == UNLOADING and not entry.users:
                    self._changed.notify_all()

    def _find(self, spec):
        if not spec.name:
            raise ServingError(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        available, choice = self._available(spec.name), spec.WhichOneof("version_choice")
        if choice == "version_label":
            labels = self._labels.get(spec.name, {})
            if spec.version_label not in labels:
                raise ServingError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}")
            version = labels[spec.version_label]
        elif choice == "version":
            version = spec.version.value
        else:
            version = max(available, default=None)
        if version not in available:
            asked = f"Latest({spec.name})" if choice is None else f"Specific({spec.name}, {version})"
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {asked}")
        return available[version]

    def status(self, name: str, version: int | None = None) -> list[tuple[int, int, ServingError | None]]:
        """`(version, state, error)` of a model's versions, newest first; unloaded ones stay listed.

        Raises:
            ServingError: NOT_FOUND, of the model or the version.
        """
        with self._changed:
            entries = self._models.get(name, {})
            found = [(v, e.state, e.error) for v, e in sorted(entries.items(), reverse=True) if version in (None, v)]
        if not found:
            what = "any versions" if version is None else f"version {version}"
            raise ServingError(Code.NOT_FOUND, f"Could not find {what} of model {name}")
        return found

    def names(self) -> list[str]:
        """The models of the list, in its order."""
        with self._changed:
            return list(self._configs)

    def close(self) -> None:
        """Stops loading and unloads everything, each version after its last request."""
        self._closing.set()
        with self._changed:
            self._configs = {}
            self._changed.notify_all()
            self.look()
        self._loaders.shutdown(wait=True, cancel_futures=True)
        self.look()
        with self._changed:
            self._changed.wait_for(
                lambda: all(e.state in (START, END) for entries in self._models.values() for e in entries.values())
            )
