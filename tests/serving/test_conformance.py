"""The conformance cases restated from TensorFlow Serving's own tests, over the wire: every case of the file is run."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.serving.conformance_checks import differences
from tests.serving.conformance_observers import observe
from tests.serving.conformance_setups import Setups

FILE = Path(__file__).parents[3] / "shared" / "conformance" / "cases.json"
CASES = {case["id"]: case for case in json.loads(FILE.read_text("utf-8"))["cases"]} if FILE.exists() else {}
KNOWN: dict[str, str] = {}  # id → why this endpoint differs; none of priority 1, and at most 5 % of all


@pytest.fixture(scope="module")
def setups(tmp_path_factory):
    with ExitStack() as stack:
        yield Setups(tmp_path_factory.mktemp("conformance"), stack)


@pytest.mark.skipif(not CASES, reason="the conformance cases are not beside the repository, in ../shared/conformance")
@pytest.mark.parametrize("name", CASES or ["no cases"])
def test_case(setups, name):
    case = CASES[name]
    found = differences(case["expect"], observe(setups, case))
    if name in KNOWN:
        assert case["priority"] > 1 and len(KNOWN) <= 0.05 * len(CASES)
        assert found, f"{name} no longer differs: {KNOWN[name]}"
    else:
        assert not found, f"{name}: " + "\n".join(found)
