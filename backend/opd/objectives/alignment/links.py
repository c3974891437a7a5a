"""Connected sets of student tokens and pieces of the teacher's text, and the buckets made of them."""

from __future__ import annotations

from collections.abc import Sequence

from opd.objectives.alignment.maps import Bucket, Level


class Links:
    """Connected sets of student tokens (ints) and pieces of text (bytes)."""

    def __init__(self) -> None:
        self._parent: dict[int | bytes, int | bytes] = {}

    def find(self, item: int | bytes) -> int | bytes:
        self._parent.setdefault(item, item)
        root = item
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[item] != root:
            self._parent[item], item = root, self._parent[item]
        return root

    def join(self, one: int | bytes, other: int | bytes | None) -> None:
        if other is not None:
            self._parent[self.find(one)] = self.find(other)

    def tokens(self) -> list[int]:
        return sorted(item for item in self._parent if isinstance(item, int))

    def names(self, bytes_of: Sequence[bytes | None]) -> dict[int, int]:
        """For each student token the shortest of its set, which names the column."""
        best: dict[int | bytes, int] = {}
        for token in self.tokens():
            root = self.find(token)
            old = best.get(root)
            if old is None or len(bytes_of[token] or b"") < len(bytes_of[old] or b""):
                best[root] = token
        return {token: best[self.find(token)] for token in self.tokens()}


def split(bucket: Bucket, longer: list[int], candidates: list[int], links: Links, end: bytes) -> Level | None:
    """The split of `bucket` that links make: what is connected to `end` is group 0. None where nothing else is left.

    Args:
        longer: student tokens of the bucket that go on beyond the boundary.
        candidates: teacher tokens that may lead to one of them.
    """
    numbers: dict[int | bytes, int] = {links.find(end): 0}
    group_of: dict[int, int] = {}
    for token in longer:
        number = numbers.setdefault(links.find(token), len(numbers))
        if number:
            group_of[token] = number
    if not group_of:
        return None
    members: list[list[int]] = [[] for _ in numbers]
    for token in bucket.tokens:
        members[group_of.get(token, 0)].append(token)
    number_of = {v: numbers.get(links.find(name_of_teacher(v)), 0) for v in candidates}
    return Level(
        [Bucket(tuple(tokens), bucket.direct.intersection(tokens)) for tokens in members],
        group_of,
        {v: number for v, number in number_of.items() if number},
    )


def buckets_of(members: dict[int, list[int]], direct: frozenset[int | None]) -> dict[int, Bucket]:
    """Columns with more than one member; `direct` are the tokens that a single teacher token leads to."""
    return {
        column: Bucket(tuple(sorted(tokens)), frozenset(token for token in tokens if token in direct))
        for column, tokens in members.items()
        if len(tokens) > 1
    }


def name_of_teacher(token: int) -> bytes:
    """A teacher token as a link's end; never empty, so that it is not the end mark."""
    return b"teacher %d" % token
