"""The conformance cases restated from TensorFlow Serving's own tests, over the wire: every case and every field of it."""

import json
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.serving.conformance_checks import differences
from tests.serving.conformance_given import Given, plain
from tests.serving.conformance_observers import observe, step
from tests.serving.conformance_setups import Setups

SHARED = Path(__file__).parents[3] / "shared" / "conformance" / "cases.json"
OWN = Path(__file__).parent / "conformance_cases.json"
CASES = {
    case["id"]: case for file in (SHARED, OWN) if file.exists() for case in json.loads(file.read_text("utf-8"))["cases"]
}
KNOWN: dict[str, str] = {}  # id → why this endpoint differs; none of priority 1, and at most 5 % of all


@pytest.fixture(scope="module")
def setups(tmp_path_factory):
    with ExitStack() as stack:
        yield Setups(tmp_path_factory.mktemp("conformance"), stack)


@pytest.mark.skipif(
    not SHARED.exists(), reason="the conformance cases are not beside the repository: ../shared/conformance"
)
def test_the_shared_cases_are_there():
    assert len(CASES) > 100 and set(KNOWN) <= set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_case(setups, name):
    case = Given(CASES[name])
    found = differences(plain(case["expect"]), observe(setups, case))
    if name in KNOWN:
        assert case["priority"] > 1 and len(KNOWN) <= 0.05 * len(CASES)
        assert found, f"{name} no longer differs: {KNOWN[name]}"
    else:
        assert not found, f"{name}: " + "\n".join(found)


# ---------------------------------------------------------------------------------------------------- the runner itself

REST = {"method": "GET", "path": "/v1/models/default"}
SEEN = {"http": 400, "body": b'{"error": "Malformed request"}', "alive": True}


class FakeSetups:
    """One endpoint for every setup, that answers what SEEN says."""

    def __getitem__(self, name):
        return self

    def rest(self, method, path, body, headers):
        return SimpleNamespace(status=SEEN["http"], body=SEEN["body"], headers={})

    def half(self, name):
        return 3.0


def case_of(**changes):
    documented = {
        "id": "x",
        "area": "rest.error",
        "transport": "rest",
        "priority": 1,
        "origin": "source",
        "source": "s",
    }
    return {**documented, "setup": "hp2", "request": REST, "expect": {"http": 400}, "core": True, **changes}


@pytest.mark.parametrize(
    "changes, missed",
    [
        ({"request": {**REST, "trailers": {"a": "b"}}}, "request.trailers"),
        ({"environment": {"LANG": "C"}}, "environment"),
        ({"area": "quantum.error"}, "no observer for quantum.error"),
    ],
)
def test_a_field_that_no_observer_knows_is_a_failure_of_the_runner(changes, missed):
    assert not differences(case_of()["expect"], observe(FakeSetups(), Given(case_of())))
    with pytest.raises(NotImplementedError, match=missed):
        observe(FakeSetups(), Given(case_of(**changes)))


def test_fields_are_unread_at_any_depth():
    given = Given({"a": {"b": 1, "c": [{"d": 2, "e": 3}]}, "f": {"g": [1]}})
    assert given.unread() == ["a", "f"]
    assert given["a"]["c"][0]["d"] == 2
    assert given.unread() == ["a.b", "a.c.e", "f"]
    assert plain(given["f"]) == {"g": [1]} and type(plain(given["a"])) is dict
    assert given.unread() == []


def test_a_follow_up_check_that_is_not_known_is_a_failure_of_the_runner():
    for wanted in ({"predict": "m", "y": 1.0, "within_ms": 5}, {"status_of": "m"}, {"metadata_of": "m"}, {}):
        with pytest.raises(NotImplementedError, match="no such follow-up check"):
            step(None, wanted)


@pytest.mark.parametrize(
    "expect, met",
    [
        ({"http": 400}, True),
        ({"http": 400, "error": "Malformed request", "must_not": "crash the process"}, True),
        ({"http": 400, "colour": "red"}, False),  # no check of such a field
        ({"http": 405, "also_acceptable": {"http": 400}}, True),
        ({"http": 405, "body": "", "also_acceptable": {"http": 400, "error_contains": "Malformed"}}, True),
        ({"http": 400, "body": "", "also_acceptable": {"error": "Malformed request"}}, True),  # with the same code
        ({"http": 405, "also_acceptable": {"http": 400, "error": "other"}}, False),
        ({"http": 405, "also_acceptable": [{"http": 404}, {"http": 400}]}, True),
        ({"http": 405, "also_acceptable": [{"http": 404}, {"http": 403}]}, False),
        ({"http": 405, "also_acceptable": {"error": "Malformed request"}}, False),
        ({"http": 400, "also_acceptable": {"http": 401, "colour": "red"}}, False),
        ({"http": 405, "must_not": "lose money", "also_acceptable": {"http": 400}}, False),  # holds with any answer
        ({"http": 400, "notes": "for people"}, True),
    ],
)
def test_what_meets_an_expectation(expect, met):
    assert (differences(expect, SEEN) == []) is met
