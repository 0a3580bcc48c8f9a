"""Parses YAML that people write, settings and policies; a key given twice and invalid YAML are errors."""

from typing import Any

import yaml

from artifactscan.errors import UsageError


def parse_yaml(text: bytes, source: str) -> Any:
    """The value of a YAML file, of plain types only; UsageError, whose message begins with ``source``, if invalid."""
    try:
        return yaml.load(text, _UniqueKeys)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = ", ".join(filter(None, [error.context, error.problem]))
        raise UsageError(f"{source} is not YAML: {reason}{where}; correct it there") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an impossible date, and nesting that is too deep
        reason = " ".join(str(error).replace('in "<byte string>", ', "at ").split())
        raise UsageError(f"{source} is not YAML: {reason}; correct it") from None


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader for which a key given twice is an error; PyYAML takes the last value."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # merge keys (`<<`) are not expanded yet
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return node
