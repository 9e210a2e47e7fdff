"""The tasks, each one file or one folder; see `nlp_suite.task` for what a task is."""
