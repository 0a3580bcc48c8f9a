"""YAML that people write, settings and policies: no key counts twice, and what is wrong with a file is one sentence."""

from typing import Any

import yaml

from artifactscan.errors import UsageError


def parse_yaml(text: bytes, source: str) -> Any:
    """What a YAML file holds, of plain types alone; UsageError, beginning with ``source``, where it is not YAML."""
    try:
        return yaml.load(text, _UniqueKeys)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        told = ", ".join(filter(None, [error.context, error.problem]))
        raise UsageError(f"{source} is not YAML: {told}{where}; mend it there") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # PyYAML lets the last two out of dates and nesting
        told = " ".join(str(error).replace('in "<byte string>", ', "at ").split())
        raise UsageError(f"{source} is not YAML: {told}; mend it") from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key given twice is an error rather than the last one's."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)  # as it is written: `<<` is filled in later
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return node
