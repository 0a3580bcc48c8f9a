"""One file per command: parse the settings, call one pipeline, return the exit code."""
