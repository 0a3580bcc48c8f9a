"""Writes what a store holds in the form of other tools: events for people who look, tables for catalogues."""
