"""Stripe's form encoding: `line_items[0][price_data][currency]=usd` is a tree."""

import re
from collections.abc import Iterable
from typing import Any

_PART = re.compile(r"\[([^\[\]]*)\]")


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Build the tree that a form-encoded body means; numbered and empty brackets become lists."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        root, _, rest = name.partition("[")
        path = [root, *(_PART.findall("[" + rest) if rest else [])]
        node = tree
        for step in path[:-1]:
            node = node.setdefault(step or str(len(node)), {})
        node[path[-1] or str(len(node))] = value
    return {key: _lists(value) for key, value in tree.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(child) for key, child in value.items()}
