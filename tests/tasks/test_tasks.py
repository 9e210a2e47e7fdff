"""Every task of the registry keeps the contract: a task is tested by being there."""

import pytest

from nlp_suite.registry import TASKS
from nlp_suite.tasks.sentiment.problems import PROBLEMS
from tests.tasks.checks import run_task_checks


@pytest.mark.parametrize("name", TASKS.names())
def test_the_contract(name, tmp_path):
    run_task_checks(name, cache=tmp_path / "cache")


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_contract_of_every_problem(problem, tmp_path):
    run_task_checks("sentiment", cache=tmp_path / "cache", problem=problem)
