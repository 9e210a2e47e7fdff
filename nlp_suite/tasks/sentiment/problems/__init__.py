"""What a text may be answered with besides one of the labels: a variant of the sentiment task for each problem."""

from nlp_suite.tasks.sentiment.problems.regression import RegressionTask

PROBLEMS = {"regression": RegressionTask}
"""Value of `task.problem` → its class."""
