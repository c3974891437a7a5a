"""From what a teacher said about a draft to rows with weights: the student learns at its own states.

In: the draft's token ids, and the teacher's actions as text. Out: one row of the draft whose kept tokens count, and
one branch for every correction: the draft up to there, exactly as the student wrote it, then the teacher's text.

Characters and tokens do not end at the same places. A token belongs to an action where all its characters do; a
correction branches off before the token that holds its first character, and repeats the characters before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from opd.teachers.tasks.marks import Action
from opd.training.decoding import Completion
from opd.training.window import Row


def marked_rows(
    prompt_ids: Sequence[int],
    draft: Completion,
    actions: Sequence[Action],
    *,
    tokenizer: Any,
    decode: Callable[[Sequence[int]], str],
    end_id: int,
    correction_weight: float = 1.0,
) -> list[Row]:
    """Rows of one marked draft; none where nothing can be learned.

    Args:
        actions: about the draft's decoded text.
        decode: from ids to the text that was marked.
        end_id: what a complete answer ends with.
        correction_weight: what a token of a correction counts, beside 1 for a kept one.
    """
    ends = _ends(draft.ids, decode)
    weights = [0.0] * len(draft.ids)
    branches = list[Row]()
    for action in actions:
        if action.kept:
            stop = action.at + len(action.text)
            for place, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
                if action.at <= start < end <= stop:
                    weights[place] = 1.0
            if action.ends and draft.finished:
                weights[-1] = 1.0
            continue
        branches.append(_branch(prompt_ids, draft, action, ends, tokenizer, decode, end_id, correction_weight))
    last = max((place for place, weight in enumerate(weights) if weight), default=-1)
    kept = Row(
        tuple(prompt_ids),
        Completion(draft.ids[: last + 1], draft.finished and last == len(draft.ids) - 1),
        on_policy=True,
        weights=tuple(weights[: last + 1]),
    )
    rows = [kept, *branches] if last >= 0 else branches
    return [row for row in rows if row.completion.ids]


def answer_row(prompt_ids: Sequence[int], answer: Completion) -> Row:
    """The teacher's own answer, every token of it."""
    return Row(tuple(prompt_ids), answer, on_policy=False)


def _branch(
    prompt_ids: Sequence[int],
    draft: Completion,
    action: Action,
    ends: Sequence[int],
    tokenizer: Any,
    decode: Callable[[Sequence[int]], str],
    end_id: int,
    weight: float,
) -> Row:
    num = bisect_right(ends, action.at)
    # Tokens without characters (an end token) at the very place are not part of what comes before.
    while num and ends[num - 1] == (ends[num - 2] if num > 1 else 0):
        num -= 1
    before = decode(draft.ids[:num])
    repeated = decode(draft.ids)[len(before) : action.at]
    target = tokenizer.encode(repeated + action.text, add_special_tokens=False) + ([end_id] if action.ends else [])
    return Row(
        (*prompt_ids, *draft.ids[:num]),
        Completion(tuple(target), action.ends),
        on_policy=True,
        weights=(weight,) * len(target),
        branch=True,
    )


def _ends(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[int]:
    """For each token, where its characters end in the decoded text; one that completes no character ends where the
    one before does."""
    ends, text = list[int](), decode(ids)
    for num in range(1, len(ids) + 1):
        so_far = decode(ids[:num])
        ends.append(len(so_far) if text.startswith(so_far) else (ends[-1] if ends else 0))
    return ends
