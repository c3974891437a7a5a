"""More prompts of the same kind, written by the teacher from a few of the user's: expansion.

In: prompts as texts, and replies. Out: what to ask, and of what was written the part that may be trained on: no
copies, no near copies of one another, and nothing that is held out for the verdict.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from opd.teachers.tasks.instructions import Instruction, instruction
from opd.teachers.tasks.replies import Reply, UnreadableError, read_json

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NEAR = 0.6  # share of common three-word runs from which two texts with the same numbers are one
_SHORT_WORDS = 12  # a prompt this short with the same two numbers asks the same, whatever its other words
MAX_PROMPT_CHARS = 20_000
EXAMPLES = 3  # as many in a request as the shortest instruction has learnt


class _Written(Reply):
    prompts: list[str]


def write_message(examples: Sequence[str], *, count: int, in_lines: bool) -> tuple[Instruction, str]:
    """The instruction and the message that ask for new prompts. In the short form one prompt a request is written."""
    if in_lines:
        form = instruction("write_lines")
        return form, form.fill(examples="\n".join(examples))
    form = instruction("write")
    listed = "\n".join(f"<example>\n{text}\n</example>" for text in examples)
    return form, form.fill(count=str(count), examples=listed)


def pick_examples(texts: Sequence[str], request: int, seed: int, num: int = EXAMPLES) -> list[str]:
    """The examples of one request: another handful for each, the same for the same seed."""
    return random.Random(f"{seed}/examples/{request}").sample(list(texts), min(num, len(texts)))


def read_written(reply: str, *, in_lines: bool) -> list[str]:
    """The prompts that a reply consists of.

    Raises:
        UnreadableError: it is no list of prompts, or one of them is empty or far too long.
    """
    prompts = [reply] if in_lines else read_json(reply, _Written).prompts
    prompts = [text.strip() for text in prompts]
    if not prompts or not all(prompts) or any(len(text) > MAX_PROMPT_CHARS for text in prompts):
        raise UnreadableError("no prompt, an empty one or one of more than 20,000 characters")
    if in_lines and "\n" in prompts[0]:
        raise UnreadableError("more than one line where one prompt was asked for")
    return prompts


# --- what may stay --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Harvest:
    """What became of all that was written.

    Attributes:
        kept: prompts to train on, in the order they came.
        removed: reason → texts: copy, near_copy, held_out, surplus.
    """

    kept: tuple[str, ...]
    removed: dict[str, list[str]] = field(default_factory=dict)


class Sieve:
    """Decides prompt by prompt what may stay; remembers what it has let through.

    Args:
        own: the user's training prompts.
        held_out: prompts that the verdict, or the choice of a learning rate, is measured on.
    """

    def __init__(self, own: Iterable[str], held_out: Iterable[str]):
        self._known, self._held_out = _Shelf(own), _Shelf(held_out)

    def reason_against(self, text: str) -> str | None:
        """Why it may not be trained on; None: it may, and from now on counts as known."""
        print_ = _print_of(text)
        if self._held_out.nearest(print_) is not None or self._held_out.asks_the_same(print_):
            return "held_out"
        near = self._known.nearest(print_)
        if near is not None:
            return near
        self._known.add(print_)
        return None


def sift(written: Iterable[str], sieve: Sieve, *, wanted: int) -> Harvest:
    """The first `wanted` prompts that may stay, and the others with the reason."""
    kept, removed = list[str](), dict[str, list[str]]()
    for text in written:
        reason = "surplus" if len(kept) >= wanted else sieve.reason_against(text)
        if reason is None:
            kept.append(text)
        else:
            removed.setdefault(reason, []).append(text)
    return Harvest(tuple(kept), removed)


@dataclass(frozen=True)
class Diversity:
    """How different the written prompts are; what a person looks at before they are trained on.

    Attributes:
        num: prompts.
        distinct_words: different words among them.
        new_words: share of those words that no prompt of the user has, 0..1.
        repeated_openings: share of prompts that begin with the same three words as another, 0..1.
        mean_words: length.
    """

    num: int
    distinct_words: int
    new_words: float
    repeated_openings: float
    mean_words: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def diversity(texts: Sequence[str], own: Sequence[str]) -> Diversity:
    """Figures about written prompts beside the user's own."""
    words = [_words(text) for text in texts]
    distinct = {word for each in words for word in each}
    known = {word for text in own for word in _words(text)}
    openings = Counter(tuple(each[:3]) for each in words)
    repeated = sum(count for count in openings.values() if count > 1)
    return Diversity(
        num=len(texts),
        distinct_words=len(distinct),
        new_words=round(len(distinct - known) / max(1, len(distinct)), 3),
        repeated_openings=round(repeated / max(1, len(texts)), 3),
        mean_words=round(sum(map(len, words)) / max(1, len(texts)), 1),
    )


# --- likeness -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Print:
    """What two prompts are compared by."""

    words: tuple[str, ...]
    runs: frozenset[tuple[str, ...]]
    numbers: tuple[str, ...]


def _print_of(text: str) -> _Print:
    words = tuple(_words(text))
    runs = frozenset(words[i : i + 3] for i in range(max(1, len(words) - 2)))
    return _Print(words, runs, tuple(sorted(_NUMBER.findall(text))))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


class _Shelf:
    """Prints, found by their numbers: texts with other numbers are other questions."""

    def __init__(self, texts: Iterable[str] = ()):
        self._by_numbers: dict[tuple[str, ...], list[_Print]] = {}
        for text in texts:
            self.add(_print_of(text))

    def add(self, print_: _Print) -> None:
        self._by_numbers.setdefault(print_.numbers, []).append(print_)

    def nearest(self, print_: _Print) -> str | None:
        """ "copy" or "near_copy" where there is one."""
        for other in self._by_numbers.get(print_.numbers, ()):
            if other.words == print_.words:
                return "copy"
            if len(other.runs & print_.runs) >= _NEAR * len(other.runs | print_.runs):
                return "near_copy"
        return None

    def asks_the_same(self, print_: _Print) -> bool:
        """Whether a short prompt has the very same numbers, two at least, as another short one."""
        if len(print_.numbers) < 2 or len(print_.words) > _SHORT_WORDS:
            return False
        return any(len(other.words) <= _SHORT_WORDS for other in self._by_numbers.get(print_.numbers, ()))
