"""The correspondences of two tokenizers, made when a text first needs them and kept for the run.

In: two `TextCodec`s. Out: `StaticMap`, `Node` and `Level` (see `maps`), by asking each tokenizer how it would divide
what the other one writes. Knows nothing of laws, positions or losses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from opd.objectives.alignment.codec import TextCodec
from opd.objectives.alignment.links import Links, buckets_of, name_of_teacher, split
from opd.objectives.alignment.maps import NO_JOINS, Bucket, Joins, Level, Node, StaticMap, Tokens


class Correspondence:
    """Both tokenizers' correspondences, made when first needed."""

    def __init__(self, student: TextCodec, teacher: TextCodec):
        if student.leading_space and teacher.leading_space:
            student, teacher = student.without_leading_space(), teacher.without_leading_space()
        self.student, self.teacher = student, teacher
        self._static: dict[bool, StaticMap] = {}
        self._nodes: dict[tuple[bytes, Tokens, Tokens, bool, bool], Node] = {}
        self._levels: dict[tuple[bytes, Tokens, Tokens, int, bool], tuple[Bucket, Level | None]] = {}
        self._joined: dict[tuple[int, int, int], tuple[dict[int, Bucket], Bucket]] = {}

    @property
    def starts_differ(self) -> bool:
        """Whether the first token of a response needs tables of its own."""
        return self.student.leading_space or self.teacher.leading_space

    def static(self, at_start: bool) -> StaticMap:
        """The map at a common boundary; `at_start`: before the first byte of the response."""
        at_start = at_start and self.starts_differ
        if at_start not in self._static:
            self._static[at_start] = self._make_static(at_start)
        return self._static[at_start]

    def node(self, text: bytes, written: Tokens, path: Tokens, *, aligned: bool, at_start: bool) -> Node:
        """How the teacher's last token might go on.

        Args:
            text: the bytes since the last boundary common to both tokenizers, up to the position.
            written: the student's tokens for them (empty: unknown).
            path: the teacher's tokens for them before its last one.
            aligned: the teacher's last token ends at the position.
            at_start: `text` begins the response.
        """
        key = (text, written, path, aligned, at_start and self.starts_differ)
        if key not in self._nodes:
            self._nodes[key] = self._make_node(*key)
        return self._nodes[key]

    def level(self, text: bytes, written: Tokens, path: Tokens, bucket: Bucket, *, at_start: bool) -> Level | None:
        """How the teacher's law after `path` splits `bucket`; None where it does not.

        Args:
            text: the bytes from the last common boundary up to the student's token.
            written: the student's tokens for them.
            path: the teacher's tokens from that boundary to the one where the law is taken.
            at_start: `text` begins the response.
        """
        at_start = at_start and self.starts_differ
        key = (text, written, path, id(bucket), at_start)
        if key not in self._levels:  # the bucket is kept with the value, so that its id stays its own
            self._levels[key] = (bucket, self._make_level(text, written, path, bucket, at_start))
        return self._levels[key][1]

    def joined(self, buckets: dict[int, Bucket], one: int, other: int) -> Bucket:
        """The bucket of two columns taken together; `buckets` are those of a map or node of this object."""
        key = (id(buckets), one, other)
        if key not in self._joined:
            both = [buckets.get(column) or Bucket((column,), frozenset([column])) for column in (one, other)]
            self._joined[key] = (buckets, Bucket(both[0].tokens + both[1].tokens, both[0].direct | both[1].direct))
        return self._joined[key][1]

    def _make_static(self, at_start: bool) -> StaticMap:
        student, teacher = self.student, self.teacher
        rest = student.vocab_size
        to_teacher = _first_tokens(teacher, student.table(at_start), at_start)
        to_student = _first_tokens(student, teacher.table(at_start), at_start)
        # Each step there and back shortens the text or keeps it, so it ends at a token that both sides have.
        back = [rest if found is None else found for found in to_student]
        column = [rest if found is None else back[found] for found in to_teacher]
        for token, word in enumerate(student.table(at_start)):
            if word == b"":
                column[token] = token  # a lone ▁: what follows it is the text's beginning
        while True:
            further = [rest if found == rest else column[found] for found in column]
            if further == column:
                break
            column = further
        teacher_column = [rest if found == rest else column[found] for found in back]
        for token in student.eos_ids:
            column[token] = student.eos_ids[0]
        for token in teacher.eos_ids:
            teacher_column[token] = student.eos_ids[0]
        members: dict[int, list[int]] = {}
        for token, found in enumerate(column):
            if found != rest and token not in student.eos_ids:
                members.setdefault(found, []).append(token)
        return StaticMap(teacher_column, column, rest, buckets_of(members, frozenset(back)))

    def _make_node(self, text: bytes, written: Tokens, path: Tokens, aligned: bool, at_start: bool) -> Node:
        anchor_at_start = at_start and not path
        emitted = text[_length(self.teacher, path, at_start) :]
        places = self.teacher.extensions(emitted, at_start=anchor_at_start)
        ids = self.teacher.sorted_ids(places, at_start=anchor_at_start)
        table = self.teacher.table(anchor_at_start)
        remainders = [(table[token] or b"")[len(emitted) :] for token in ids]
        following = self._student_after(text, written, remainders, at_start)
        found = [(v, w, t) for v, w, t in zip(ids, remainders, following, strict=True) if t is not None]
        spanning = self._spanning(text, path, emitted, {word: token for _, word, token in found}, at_start)
        if aligned:
            return self._node_at_boundary(found, spanning)
        links = Links()
        for _, word, token in found:
            links.join(word, token)
        for token, word in spanning:
            links.join(word, token)
        name = links.names(self.student.bytes_of)
        members: dict[int, list[int]] = {}
        for token in links.tokens():
            members.setdefault(name[token], []).append(token)
        return Node(
            column_of_teacher={v: name[token] for v, _, token in found},
            ends_here=self.teacher.exactly(emitted, at_start=anchor_at_start),
            siblings={token: name[token] for token in links.tokens() if name[token] != token},
            buckets=buckets_of(members, frozenset(token for _, _, token in found)),
            joins=NO_JOINS,
        )

    def _node_at_boundary(self, found: list[tuple[int, bytes, int]], spanning: list[tuple[int, bytes]]) -> Node:
        columns = self.static(False).student_column
        piece = {word: columns[token] for _, word, token in found}
        links = Links()
        for token, word in spanning:
            if self.static(False).rest not in (columns[token], piece[word]):
                links.join(columns[token], piece[word])
        name = links.names(self.student.bytes_of)
        joins = {column: name[column] for column in links.tokens() if name[column] != column}
        return Node({v: columns[token] for v, _, token in found}, [], {}, {}, Joins(joins))

    def _spanning(
        self, text: bytes, path: Tokens, emitted: bytes, pieces: Collection[bytes], at_start: bool
    ) -> list[tuple[int, bytes]]:
        """Student tokens that go on beyond the end of the teacher token they would begin in, with that piece."""
        codec = self.student
        places = sorted({place for piece in pieces for place in codec.extensions(piece)})
        tokens = codec.sorted_ids(places)
        words = [codec.bytes_of[token] or b"" for token in tokens]
        found = []
        read = self.teacher.encode_many([text + word for word in words], at_start=at_start)
        for token, word, ids in zip(tokens, words, read, strict=True):
            if ids is None or ids[: len(path)] != path or len(ids) == len(path):
                continue
            here = self.teacher.table(at_start and not path)[ids[len(path)]] or b""
            piece = here[len(emitted) :]
            if here.startswith(emitted) and piece in pieces and len(piece) < len(word):
                found.append((token, piece))
        return found

    def _make_level(self, text: bytes, written: Tokens, path: Tokens, bucket: Bucket, at_start: bool) -> Level | None:
        reached = _spell(self.teacher, path, at_start)
        table = self.student.table(at_start and not written)
        whole = {token: text + (table[token] or b"") for token in bucket.tokens}
        longer = [t for t in bucket.tokens if len(whole[t]) > len(reached) and whole[t].startswith(reached)]
        if not longer:
            return None
        read = self.teacher.encode_many([whole[t] for t in longer], at_start=at_start)
        piece = {
            t: ids[len(path)]
            for t, ids in zip(longer, read, strict=True)
            if ids is not None and ids[: len(path)] == path and len(ids) > len(path)
        }
        going_on = {p for t in longer for p in self.teacher.extensions(whole[t][len(reached) :], strictly=False)}
        candidates = sorted({*piece.values(), *self.teacher.sorted_ids(going_on)})
        ahead = reached[len(text) :]
        words = [ahead + (self.teacher.bytes_of[v] or b"") for v in candidates]
        links, end, reachable = Links(), b"", set(longer)
        for v, token in zip(candidates, self._student_after(text, written, words, at_start), strict=True):
            links.join(name_of_teacher(v), token if token in reachable else end)
        for token in longer:
            links.join(token, name_of_teacher(piece[token]) if token in piece else end)
            if token in bucket.direct:
                links.join(token, end)
        return split(bucket, longer, candidates, links, end)

    def _student_after(self, text: bytes, written: Tokens, words: Sequence[bytes], at_start: bool) -> list[int | None]:
        """The student token after `text` when each of `words` follows; None where `text` would be divided otherwise.

        A student that has divided the text as its tokenizer never would has left its own language: then what follows
        is read by itself, so that it still gets a target.
        """
        if text and self.student.encode(text, at_start=at_start) != written:
            read = self.student.encode_many(words)
            return [ids[0] if ids else None for ids in read]
        read = self.student.encode_many([text + word for word in words], at_start=at_start)
        num = len(written)
        return [ids[num] if ids is not None and len(ids) > num and ids[:num] == written else None for ids in read]


def _first_tokens(codec: TextCodec, words: Iterable[bytes | None], at_start: bool) -> list[int | None]:
    """First token of each text; None for what is no text or cannot be written."""
    words = list(words)
    read = codec.encode_many([word or b"" for word in words], at_start=at_start)
    return [ids[0] if ids else None for ids in read]


def _spell(codec: TextCodec, tokens: Tokens, at_start: bool) -> bytes:
    words = [codec.table(at_start and place == 0)[token] or b"" for place, token in enumerate(tokens)]
    return b"".join(words)


def _length(codec: TextCodec, tokens: Tokens, at_start: bool) -> int:
    return len(_spell(codec, tokens, at_start))
