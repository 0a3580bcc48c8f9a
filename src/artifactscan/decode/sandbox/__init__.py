"""Decoding in a child process: supervisor and process are the parent side, child the child, protocol the messages."""
