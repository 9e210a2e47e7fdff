"""`python -m nlp_suite` is the `nlp-suite` command."""

from nlp_suite.cli import main

main()
