"""Judging: plan the questions, ask a model behind an endpoint or vLLM about them on Ray Data, settle, compare."""
