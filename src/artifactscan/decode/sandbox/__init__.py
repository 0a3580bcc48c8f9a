"""Decoding in a child process: supervisor and child_process are the parent, child_main the child."""
