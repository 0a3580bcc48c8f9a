"""Rates with intervals, tests of rises, drift, and prevalence corrected for errors: pure functions of tables."""
