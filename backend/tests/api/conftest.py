"""Tests of the API: one name for each."""

from __future__ import annotations

import pytest
from _pytest.nodeid import coerce_node_id  # pytest has no public way to name a test anew
from schemathesis.pytest.plugin import SchemathesisFunction


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the fuzz of each operation the operation's name.

    pytest-xdist hands out tests by name: of the many that schemathesis gives one name, it would run one and count it
    as all of them.
    """
    for item in items:
        if isinstance(item, SchemathesisFunction) and item.operation_label:
            item._id = coerce_node_id(f"{item.nodeid}[{item.operation_label}]")
