"""Readers of tables, one a format, behind `nlp_suite.data.table_reading`."""
