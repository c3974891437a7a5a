"""Every error that a person can meet has a name of its own, a sentence, and a next step."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

from opd.errors import InputError, OPDError

# Rooms that the server itself imports, and those of a run that need no ML package to be looked at.
ROOMS = ("api", "data_loader", "doctor", "serving.errors", "store", "teachers")


def tree(kind: type[OPDError] = OPDError) -> Iterator[type[OPDError]]:
    """The product's own kinds: a test may have loaded an altered copy of a module under another name."""
    if kind.__module__.split(".")[0] == "opd":
        yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def load(room: str) -> None:
    module = importlib.import_module(f"opd.{room}")
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
        importlib.import_module(found.name)


for _room in ROOMS:
    load(_room)


@pytest.mark.parametrize("kind", sorted(set(tree()), key=lambda kind: kind.__qualname__))
def test_every_kind_has_a_sentence_and_a_next_step(kind: type[OPDError]) -> None:
    assert (kind.__doc__ or "").strip().split("\n")[0].rstrip().endswith((".", ":")), "a docstring that says what it is"
    body = kind("Something was found, something else was expected.").as_dict()
    assert set(body) == {"code", "message", "hint", "details"}
    hint = str(body["hint"])
    assert hint[0].isupper() or hint[0] == "`", "a next step begins like a sentence"
    assert hint.endswith("."), "and ends like one"


def test_codes_are_names_and_none_is_used_twice() -> None:
    codes = [kind.code for kind in set(tree())]
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)
    own = [kind.code for kind in set(tree()) if "code" in vars(kind)]
    assert len(own) == len(set(own)) > 15


def test_a_hint_that_is_given_is_kept_and_one_that_is_not_comes_from_the_kind() -> None:
    assert InputError("Found x.", hint="Do y.").hint == "Do y."
    assert InputError("Found x.").hint == InputError.next_step
    assert str(InputError("Found x.")) == f"Found x.\n{InputError.next_step}"
