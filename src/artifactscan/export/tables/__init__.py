"""The tables of a store in Iceberg, Delta Lake and DuckDB, each run once, and views over them as SQL."""
