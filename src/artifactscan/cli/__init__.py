"""The command line: flags and YAML files that fill a job's settings, exit codes, and shell completion."""
