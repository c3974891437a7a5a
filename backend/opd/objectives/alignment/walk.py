"""The walk along two divisions of one text, position by position.

In: completions as the student's token ids. Out: for each position, as plain rows, which laws and which entries of the
correspondences its target is made of. `plan` turns the rows into tensors. Knows nothing of probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from opd.objectives.alignment.codec import TextCodec, split_utf8
from opd.objectives.alignment.correspondence import Correspondence
from opd.objectives.alignment.maps import NO_JOINS, Bucket, Joins, Level, Node, Tokens

# Longest stretch without a common boundary that is read as a whole; beyond it the context is dropped.
_CONTEXT_BYTES = 64
NONE = -1


@dataclass
class SplitRows:
    """Splits of one depth; see `plan.SplitEntries`."""

    rows: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    num_segments: int = 0
    path: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class _Line:
    """One completion's text, divided twice."""

    ids: Tokens
    text: bytes
    starts: list[int]
    """First byte of each student token, and the end of the last."""
    num_scored: int
    """Student tokens up to and with the end token, or up to the first that is no text."""
    valid: int
    """Bytes that are UTF-8 text."""
    canonical: frozenset[tuple[int, int]]
    """Spans of bytes that the student's tokenizer makes one token."""
    teacher_ids: Tokens
    ends: list[int]
    """Byte after each teacher token of text."""

    @staticmethod
    def read(ids: Tokens, student: TextCodec, teacher: TextCodec) -> _Line:
        """Lay the two divisions beside each other."""
        starts, words = [0], []
        for place, token in enumerate(ids):
            word = student.table(place == 0)[token]
            if word is None:
                break
            words.append(word)
            starts.append(starts[-1] + len(word))
        text = b"".join(words)
        ended = len(words) < len(ids) and ids[len(words)] in student.eos_ids
        broken = split_utf8(text)[1]
        valid = len(text) - len(broken)
        again = _ends(student, student.encode(text[:valid], at_start=True) or ())
        read = teacher.encode(text[:valid], at_start=True)
        closes = ended and not broken and read is not None
        return _Line(
            ids=ids,
            text=text,
            starts=starts,
            num_scored=len(words) + closes,
            valid=valid,
            canonical=frozenset(zip([0, *again], again, strict=False)),
            teacher_ids=(*(read or ()), *(teacher.eos_ids[:1] if closes else ())),
            ends=_ends(teacher, read or ()),
        )


def _ends(codec: TextCodec, tokens: Tokens) -> list[int]:
    ends, here = [], 0
    for place, token in enumerate(tokens):
        here += len(codec.table(place == 0)[token] or b"")
        ends.append(here)
    return ends


@dataclass
class _Here:
    """A position of the walk."""

    line: _Line
    k: int
    step: int
    ended: int
    """Teacher tokens that end at or before the position; so, inside one, its own number."""
    aligned: bool
    sync: tuple[int, int, int]
    """Byte, student token and teacher token of the last boundary that both share, the position's own included."""
    node: Node | None
    """None where no teacher token comes before the position."""
    observed: int = NONE

    @property
    def byte(self) -> int:
        return self.line.starts[self.k]

    @property
    def at_start(self) -> bool:
        return self.k == 0 and self.ended == 0

    @property
    def written(self) -> tuple[bytes, Tokens]:
        """What the student wrote since the common boundary."""
        return self.line.text[self.sync[0] : self.byte], self.line.ids[self.sync[1] : self.k]


class Walk:
    """Rows of all positions of a batch; `plan.AlignmentPlan` says what they mean."""

    def __init__(self, maps: Correspondence):
        self.maps, self.student, self.teacher = maps, maps.student, maps.teacher
        self.num_positions = self.num_laws = 0
        self.teacher_ids: list[Tokens] = []
        self.steps: list[tuple[int, int, int, int, int, int]] = []
        self.nodes: list[tuple[int, int, Node]] = []
        self.excluded: list[tuple[int, int, int]] = []
        self.joined: list[tuple[int, Joins]] = []
        self.depths: list[SplitRows] = []

    def completion(self, ids: Tokens) -> None:
        """Add one completion's positions."""
        line = _Line.read(ids, self.student, self.teacher)
        self.teacher_ids.append(line.teacher_ids)
        if line.teacher_ids:
            self._positions(line)
        self.num_positions += len(ids)
        self.num_laws += len(line.teacher_ids)

    def _positions(self, line: _Line) -> None:
        sync, ended = (0, 0, 0), 0
        gone_on: Level | None = None  # what the end of the last student token has excluded
        for k in range(line.num_scored):
            byte = line.starts[k]
            while ended < len(line.ends) and line.ends[ended] <= byte:
                ended += 1
            aligned = k == 0 or (ended > 0 and line.ends[ended - 1] == byte)
            if byte > line.valid or ended >= len(line.teacher_ids):
                return  # no law there: broken text, or a special token inside
            node = self._node(line, k, sync, ended - aligned, aligned) if ended >= aligned else None
            sync = (byte, k, ended) if aligned else sync
            here = _Here(line, k, len(self.steps), ended, aligned, sync, node)
            if aligned and gone_on is not None:
                law = self.num_laws + ended
                self.excluded.extend((here.step, law, v) for v in gone_on.group_of_teacher)
            bucket = self._observe(here)
            self._step(here)
            gone_on = self._splits(here, bucket) if bucket is not None else None

    def _node(self, line: _Line, k: int, sync: tuple[int, int, int], anchor: int, aligned: bool) -> Node:
        byte, first, token = sync
        if line.starts[k] - byte <= _CONTEXT_BYTES:
            text, written, path = line.text[byte : line.starts[k]], line.ids[first:k], line.teacher_ids[token:anchor]
            return self.maps.node(text, written, path, aligned=aligned, at_start=first + token == 0)
        begin = line.ends[anchor - 1] if anchor else 0
        return self.maps.node(line.text[begin : line.starts[k]], (), (), aligned=aligned, at_start=anchor == 0)

    def _observe(self, here: _Here) -> Bucket | None:
        """Find the column of the student's own token; its bucket, if there is something to tell apart in it.

        The text at hand begins with the student's token and with the teacher's. Where the maps, which see one token
        ahead, put the two into different columns, the columns are joined at this position: what this text shows to be
        possible must not count as impossible. A student that divides text in its own way is not followed there.
        """
        line, static = here.line, self.maps.static(here.at_start)
        own, read = line.ids[here.k], line.teacher_ids[here.ended]
        if here.aligned or here.node is None:
            here.observed, found, buckets = static.student_column[own], static.teacher_column[read], static.buckets
        else:
            inside = here.node
            here.observed = inside.siblings.get(own, own)
            found, buckets = inside.column_of_teacher.get(read, NONE), inside.buckets
        joins = here.node.joins if here.node is not None else NO_JOINS
        found, here.observed = joins.root(found), joins.root(here.observed)
        plain = not joins.roots & {found, here.observed}
        bucket = buckets.get(here.observed) if plain else None
        if found != here.observed:
            span = (here.byte, line.starts[min(here.k + 1, len(line.starts) - 1)])
            if static.rest in (found, here.observed) or span not in line.canonical:
                bucket = None
            elif found == NONE and here.node is not None:
                here.node = here.node.with_reading(read, here.observed)
            else:
                bucket = self.maps.joined(buckets, found, here.observed) if plain else None
                joins = joins.with_join(found, here.observed)
        if joins.into:
            self.joined.append((here.step, joins))
        return None if own in self.student.eos_ids else bucket

    def _step(self, here: _Here) -> None:
        anchor = here.ended - here.aligned if here.node is not None else NONE
        law = NONE if here.node is None else self.num_laws + anchor
        if here.node is not None:
            self.nodes.append((here.step, law, here.node))
        self.steps.append(
            (
                self.num_positions + here.k,
                self.num_laws + here.ended if here.aligned else NONE,
                here.at_start,
                law,
                here.line.teacher_ids[anchor] if here.node is not None else 0,
                here.observed,
            )
        )

    def _splits(self, here: _Here, bucket: Bucket) -> Level | None:
        """Add the splits of the student's own bucket; the one at the token's end, if a teacher token ends there."""
        line, k, (text, written) = here.line, here.k, here.written
        if len(text) > _CONTEXT_BYTES:
            return None
        end, parent, depth = line.starts[k + 1], NONE, 0
        for boundary in range(here.ended + 1, min(len(line.ends) + 1, len(line.teacher_ids))):
            reached = line.ends[boundary - 1]
            if reached > end:
                return None
            path = line.teacher_ids[here.sync[2] : boundary]
            level = self.maps.level(text, written, path, bucket, at_start=here.sync[1] + here.sync[2] == 0)
            if level is not None:
                # As in `_observe`: the text at hand begins with both tokens, so they belong together here.
                group = level.group_of.get(line.ids[k], 0)
                read = level.group_of_teacher.get(line.teacher_ids[boundary], 0)
                level, group = level.joined(group, read), min(group, read)
                parent = self._split(here, depth, boundary, parent, level, group)
                bucket, depth = level.groups[group], depth + 1
            if reached == end:
                return level
        return None

    def _split(self, here: _Here, depth: int, boundary: int, parent: int, level: Level, group: int) -> int:
        """Add one split; the segment that holds the student's own token."""
        if depth == len(self.depths):
            self.depths.append(SplitRows())
        at = self.depths[depth]
        split, first = len(at.rows), at.num_segments
        at.rows.append((here.step, self.num_laws + boundary, parent, first + group, first))
        at.levels.append(level)
        at.num_segments += len(level.groups)
        at.path.extend((split, self.num_laws + j, here.line.teacher_ids[j]) for j in range(here.ended, boundary))
        return first + group
