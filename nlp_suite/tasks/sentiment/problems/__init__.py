"""What a text may be answered with besides one of the labels: a variant of the sentiment task for each problem."""

from nlp_suite.tasks.sentiment.problems.multi_label import MultiLabelTask
from nlp_suite.tasks.sentiment.problems.ordinal import OrdinalTask
from nlp_suite.tasks.sentiment.problems.regression import RegressionTask

PROBLEMS = {"multi_label": MultiLabelTask, "ordinal": OrdinalTask, "regression": RegressionTask}
"""Value of `task.problem` → its class."""
