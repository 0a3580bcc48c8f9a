"""Rates with intervals, tests for a rise, drift and prevalence: pure functions of tables."""
