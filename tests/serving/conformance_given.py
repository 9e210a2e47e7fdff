"""A case of the conformance file as observers read it: a field that none of them reads has not been tested."""

from typing import Any


class Given(dict):
    """A part of a case that knows which of its fields were read; `in`, `items` and copies are not readings."""

    def __init__(self, values: dict):
        super().__init__({key: _given(value) for key, value in values.items()})
        self._read: set[str] = set()

    def __getitem__(self, key):
        self._read.add(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        self._read.add(key)
        return super().get(key, default)

    def unread(self, path="") -> list[str]:
        """The fields that were not read, with where they stand."""
        missed = []
        for key, value in self.items():
            here = f"{path}.{key}".lstrip(".")
            if key not in self._read:
                missed.append(here)
                continue
            for part in value if isinstance(value, list) else [value]:
                missed += part.unread(here) if isinstance(part, Given) else []
        return missed


def _given(value):
    if isinstance(value, dict):
        return Given(value)
    return [_given(each) for each in value] if isinstance(value, list) else value


def plain(value) -> Any:
    """All of a value, as JSON has it; all of it counts as read."""
    if isinstance(value, Given):
        return {key: plain(value[key]) for key in list(value)}
    return [plain(each) for each in value] if isinstance(value, list) else value
