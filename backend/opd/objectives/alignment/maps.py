"""What one tokenizer's tokens mean in the other's, as made by `correspondence` and read by `walk`.

`StaticMap`: the columns at a common boundary. `Node`: how the teacher's last token might still go on. `Level`: how a
student token that spans several teacher tokens is told from its siblings. Structure only: no laws, no positions.

Two things are *linked* when some text begins with both: a teacher token with the first student token of its text, a
student token with the first teacher token of its text. A *bucket* is a connected set of links: whichever text
follows, its first token on either side falls into the same bucket. docs/objectives.md derives it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

Tokens = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Bucket:
    """Student tokens that the teacher's next token alone cannot tell apart; two or more. Compared by identity."""

    tokens: Tokens
    direct: frozenset[int] = frozenset()
    """Those that a single teacher token leads to: they cannot be told from the rest along another token's path."""


@dataclass(frozen=True, eq=False)
class StaticMap:
    """Columns of the next-token laws at a boundary that both tokenizers share.

    A column is named by a student token; `rest` collects what has no counterpart.
    """

    teacher_column: list[int]
    student_column: list[int]
    rest: int
    buckets: dict[int, Bucket]
    """Columns of more than one student token."""

    def tensors(self, device: torch.device) -> StaticTensors:
        """The same as tensors, made once a device."""
        if device not in self._tensors:
            self._tensors[device] = StaticTensors.of(self, device)
        return self._tensors[device]

    _tensors: dict[torch.device, StaticTensors] = field(default_factory=dict, init=False, repr=False)


@dataclass(frozen=True)
class StaticTensors:
    """U teacher tokens, V student tokens."""

    teacher_column: Tensor
    """(U,)"""
    student_column: Tensor
    """(V,)"""
    merged: Tensor
    """Columns of more than one student token, ascending."""
    resting: Tensor
    """Student tokens that belong to the rest, ascending."""

    @staticmethod
    def of(static: StaticMap, device: torch.device) -> StaticTensors:
        """The tensors of a map."""
        teacher = torch.tensor(static.teacher_column, device=device)
        student = torch.tensor(static.student_column, device=device)
        counts = torch.bincount(student, minlength=static.rest + 1)[: static.rest]
        return StaticTensors(
            teacher,
            student,
            (counts > 1).nonzero().squeeze(-1),
            (student == static.rest).nonzero().squeeze(-1),
        )


@dataclass(frozen=True, eq=False)
class Joins:
    """Columns taken together at one kind of position: each with the column it goes into."""

    into: dict[int, int]

    def root(self, column: int) -> int:
        """Where a column goes."""
        return self.into.get(column, column)

    @cached_property
    def roots(self) -> frozenset[int]:
        """Columns that others go into."""
        return frozenset(self.into.values())

    @cached_property
    def entries(self) -> Tensor:
        """(2, ·): column, where it goes."""
        return _pairs(self.into)

    def with_join(self, column: int, into: int) -> Joins:
        """The same, and one more; whatever went into `column` goes along."""
        moved = {one: into if root == column else root for one, root in self.into.items()}
        return Joins({**moved, column: into})


NO_JOINS = Joins({})


@dataclass(frozen=True, eq=False)
class Node:
    """Continuations of the teacher token that holds the byte before a position."""

    column_of_teacher: dict[int, int]
    """Column of the student's next token if the teacher's were this one."""
    ends_here: list[int]
    """Teacher tokens that stop exactly at the position (inside an observed token): mass for the rest."""
    siblings: dict[int, int]
    """Column of each student token that is not its column's name."""
    buckets: dict[int, Bucket]
    joins: Joins
    """At a common boundary: columns that these continuations make one with another column."""
    _readings: dict[tuple[int, int], Node] = field(default_factory=dict, init=False, repr=False)

    def with_reading(self, token: int, column: int) -> Node:
        """The same, with one more teacher token that leads to a column."""
        if (token, column) not in self._readings:
            more = {**self.column_of_teacher, token: column}
            self._readings[token, column] = replace(self, column_of_teacher=more)
        return self._readings[token, column]

    @cached_property
    def extension(self) -> Tensor:
        """(2, ·): teacher token, column."""
        return _pairs(self.column_of_teacher)

    @cached_property
    def sibling_entries(self) -> Tensor:
        """(2, ·): student token, column."""
        return _pairs(self.siblings)


@dataclass(frozen=True, eq=False)
class Level:
    """A split of one bucket by the teacher's law at a boundary inside (or at the end of) the student's token.

    Group 0 is what ends at the boundary or before it; groups 1… go on.
    """

    groups: list[Bucket]
    """Student tokens of each group, 0 first."""
    group_of: dict[int, int]
    """Group of each student token that is not in 0."""
    group_of_teacher: dict[int, int]
    """Group of each teacher token that is not in 0."""

    @cached_property
    def student_entries(self) -> Tensor:
        """(2, ·): group, student token; by group."""
        pairs = [(number, token) for number, members in enumerate(self.groups) for token in members.tokens]
        return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t().contiguous()

    @cached_property
    def teacher_entries(self) -> Tensor:
        """(2, ·): group, teacher token; by group."""
        pairs = sorted((number, token) for token, number in self.group_of_teacher.items())
        return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t().contiguous()

    _joined: dict[tuple[int, int], Level] = field(default_factory=dict, init=False, repr=False)

    def joined(self, one: int, other: int) -> Level:
        """The split with two of its groups taken together, under the smaller number; the larger is left empty."""
        if one == other:
            return self
        low, high = sorted((one, other))
        if (low, high) not in self._joined:
            groups = list(self.groups)
            both = Bucket(groups[low].tokens + groups[high].tokens, groups[low].direct | groups[high].direct)
            groups[low], groups[high] = both, Bucket(())
            students, teachers = (
                {token: low if group == high else group for token, group in side.items() if low or group != high}
                for side in (self.group_of, self.group_of_teacher)
            )
            self._joined[low, high] = Level(groups, students, teachers)
        return self._joined[low, high]


def _pairs(table: dict[int, int]) -> Tensor:
    return torch.tensor([[*table], [*table.values()]], dtype=torch.long)
