"""A teacher behind a scoring server: log-probabilities of the student's own tokens, over HTTP.

In: `Rollouts` in the teacher's token ids. Out: `TeacherSignal` with the K likeliest tokens at every completion
position, checked to be about exactly these tokens; or the server's own answers. Token ids are sent, never text that
would have to be divided again (but for the one dialect that takes nothing else, whose division is then compared).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from opd.config import ServerTeacher, SignalKind
from opd.pricing import Usage
from opd.teachers.base import Answer, AnswerSampling, Message, OtherModelError, Rollouts, TeacherSignal, TokenLaws
from opd.teachers.dialects import DIALECTS, DialectName, Scored, TokenTexts, read_usage
from opd.teachers.http import HttpClient, Policy
from opd.teachers.http_replies import NotUnderstoodError, Reply
from opd.teachers.paid_client import PaidClient
from opd.teachers.scoring_checks import check_offset, read_laws

DEFAULT_TOP_K = 20
Pays = Callable[[HttpClient], PaidClient]
_FINISH = {"stop": "stop", "eos": "stop", "length": "length", "content_filter": "refusal"}


class ScoringServer:
    """See `opd.teachers.base.Teacher`. Close it, or use it in a `with` statement.

    Args:
        top_k: tokens listed at each position, up to what the dialect allows; 0: only the observed one.
        vocab_size: of the teacher; no more than this can be listed.
        texts: the teacher's tokens as texts; needed by the together dialect only.
        sampling: for `answer`.
        should_stop: see `HttpClient`.
        pays: makes the client that books what is sent; None: nothing is paid.

    Raises:
        ConfigError: an address that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        dialect: DialectName = "vllm",
        top_k: int = DEFAULT_TOP_K,
        key: str | None = None,
        policy: Policy | None = None,
        vocab_size: int | None = None,
        texts: TokenTexts | None = None,
        sampling: AnswerSampling | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        pays: Pays | None = None,
    ):
        self.model, self._dialect = model, DIALECTS[dialect]
        most = self._dialect.most_listed
        self.top_k = top_k if most is None else min(top_k, most)
        self._vocab_size, self._texts, self._sampling = vocab_size, texts, sampling or AnswerSampling()
        trimmed = base_url.rstrip("/")
        root = trimmed.removesuffix("/v1")
        # Everybody's chat and model list are below /v1; one dialect's scoring is beside it.
        address, policy = root if not self._dialect.below_v1 else trimmed, policy or Policy()
        self._http: HttpClient | PaidClient
        if pays is None:
            self._http = HttpClient(address, key=key, policy=policy, should_stop=should_stop)
        else:
            policy = replace(policy, retry_unclear=False)
            self._http = pays(HttpClient(address, key=key, policy=policy, should_stop=should_stop))
        self._v1 = "/v1" if not self._dialect.below_v1 else ""
        self._offset_is_proven = False

    @classmethod
    def from_config(
        cls,
        teacher: ServerTeacher,
        *,
        key: str | None = None,
        top_k: int = DEFAULT_TOP_K,
        vocab_size: int | None = None,
        texts: TokenTexts | None = None,
        sampling: AnswerSampling | None = None,
        max_attempts: int = 6,
        should_stop: Callable[[], bool] = lambda: False,
        pays: Pays | None = None,
    ) -> Self:
        """The server of a configuration."""
        policy = Policy(timeout_s=teacher.timeout_s, max_concurrency=teacher.max_concurrency, max_attempts=max_attempts)
        return cls(
            teacher.base_url,
            teacher.model,
            dialect=teacher.dialect,
            top_k=top_k,
            key=key,
            policy=policy,
            vocab_size=vocab_size,
            texts=texts,
            sampling=sampling,
            should_stop=should_stop,
            pays=pays,
        )

    @property
    def origin(self) -> str:
        """Scheme, host and port of the server."""
        return self._http.origin

    @property
    def provides(self) -> tuple[SignalKind, ...]:
        """As asked for; the probe proves it."""
        return ("topk_logprobs", "token_logprobs", "text") if self.top_k else ("token_logprobs", "text")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def models(self) -> list[dict[str, Any]]:
        """What the server offers: entries with `id`, and what else it tells (vLLM: `max_model_len`).

        Raises:
            TeacherError: it cannot be asked.
        """
        body = self._http.get(f"{self._v1}/models").body
        entries = body.get("data") if isinstance(body, dict) else body
        if not isinstance(entries, list):
            raise _not_understood("the list of models", body)
        return [dict(entry) for entry in entries if isinstance(entry, dict)]

    def check_model(self) -> dict[str, Any]:
        """The configured model's entry in the server's list.

        Raises:
            OtherModelError: the server offers other models only.
        """
        offered = self.models()
        for entry in offered:
            if entry.get("id") == self.model:
                return entry
        names = ", ".join(repr(str(entry.get("id"))) for entry in offered[:5]) or "none"
        raise OtherModelError(
            f"The server does not offer {self.model!r}; it offers {names}.", hint="Set teacher.model to one of these."
        )

    def score(self, rollouts: Rollouts) -> TeacherSignal:
        """What the teacher thinks of every completion token.

        Raises:
            TeacherError: the server did not answer, or not about these tokens.
        """
        rows = [(*prompt, *done) for prompt, done in zip(rollouts.prompts, rollouts.completions, strict=True)]
        if not self._offset_is_proven:
            self._offset_is_proven = any(self.prove_offset(ids) for ids in rows[:1])
        asked = [place for place, done in enumerate(rollouts.completions) if done]
        requests = [self._dialect.request(self.model, rows[place], self.top_k, self._texts) for place in asked]
        replies = dict(zip(asked, self._http.post_many(requests), strict=True))
        laws: list[TokenLaws] = []
        usages: list[Usage] = []
        for place, ids in enumerate(rows):
            if place not in replies:  # nothing was written, so there is nothing to ask
                laws.append(_no_laws())
                continue
            scored = self._read(replies[place], ids)
            first = len(rollouts.prompts[place])
            laws.append(self._laws(ids, first, scored))
            usages.append(scored.usage)
        return TeacherSignal(self.provides[0], tuple(laws), add_usage(usages), len(asked))

    def prove_offset(self, ids: Sequence[int]) -> bool:
        """Whether each number belongs to its own token, shown on these tokens; False where they cannot show it.

        Raises:
            ShiftedError: it does not.
            TeacherError: as for `score`.
        """
        last, *others = reversed(ids)
        other = next((token for token in others if token != last), None)
        if other is None or not self._dialect.takes_ids:
            return False
        pair = [tuple(ids), (*ids[:-1], other)]
        replies = self._http.post_many([self._dialect.request(self.model, row, self.top_k, None) for row in pair])
        scored = [self._read(reply, row) for reply, row in zip(replies, pair, strict=True)]
        for row, found in zip(pair, scored, strict=True):
            self._laws(row, 1, found)
        check_offset(scored[0], scored[1])
        return True

    def words(self, ids: Sequence[int]) -> list[str | None] | None:
        """What the server says each of these tokens stands for; None where it does not say.

        Raises:
            TeacherError: as for `score`.
        """
        path, body = self._dialect.request(self.model, ids, 1, self._texts)
        if self._dialect.name == "sglang":
            body["return_text_in_logprobs"] = True  # costs time, so it is left out of every other request
        texts = self._read(self._http.post(path, body), ids).texts
        return texts if texts and len(texts) == len(ids) and any(text for text in texts) else None

    def answer(
        self, conversations: Sequence[Sequence[Message]], samplings: Sequence[AnswerSampling] | None = None
    ) -> list[Answer]:
        """The server's own answers, through its chat endpoint and its own template.

        Args:
            samplings: one a conversation; None: the server's usual one for all.

        Raises:
            TeacherError: the server did not answer.
        """
        replies = self._http.post_many(
            [
                (f"{self._v1}/chat/completions", self._chat_body(messages, sampling))
                for messages, sampling in zip(
                    conversations, samplings or [self._sampling] * len(conversations), strict=True
                )
            ]
        )
        return [_read_answer(reply) for reply in replies]

    def _chat_body(self, messages: Sequence[Message], sampling: AnswerSampling) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m["role"], "content": m["content"]} for m in messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        return body if sampling.seed is None else {**body, "seed": sampling.seed}

    def _laws(self, ids: Sequence[int], first: int, scored: Scored) -> TokenLaws:
        # Tokens of equal text (halves of characters) are one entry in a list of texts, so it may be shorter.
        k = self.top_k if self._dialect.takes_ids else min(self.top_k, max(1, self.top_k // 2))
        return read_laws(ids, first, scored, k=k, model=self.model, vocab_size=self._vocab_size)

    def _read(self, reply: Reply, ids: Sequence[int]) -> Scored:
        try:
            return self._dialect.read(reply.body, ids, self._texts)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise _not_understood("scores", reply.body) from None


def add_usage(usages: Sequence[Usage]) -> Usage:
    """The sum of what several requests used."""
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "cache_write_tokens")
    return Usage(**{name: sum(getattr(usage, name) for usage in usages) for name in names})


def _no_laws() -> TokenLaws:
    import numpy as np

    return TokenLaws(np.empty((0, 0), np.int64), np.empty((0, 0), np.float32), np.empty(0, np.float32))


def _read_answer(reply: Reply) -> Answer:
    try:
        choice = reply.body["choices"][0]
        message: Mapping[str, Any] = choice["message"]
        finish = _FINISH.get(str(choice.get("finish_reason")), "other")
        refusal = message.get("refusal")
        return Answer(
            text=str(message.get("content") or ""),
            finish_reason="refusal" if refusal else finish,  # type: ignore[arg-type]  # values of the table above
            usage=read_usage(reply.body.get("usage")),
            refusal=str(refusal) if refusal else None,
            details={"model": str(reply.body.get("model", "")), "id": str(reply.body.get("id", ""))},
        )
    except (AttributeError, IndexError, KeyError, TypeError):
        raise _not_understood("an answer", reply.body) from None


def _not_understood(what: str, body: object) -> NotUnderstoodError:
    found = ", ".join(map(str, list(body)[:8])) if isinstance(body, dict) else type(body).__name__
    return NotUnderstoodError(
        f"The server's reply does not hold {what} in the expected form; found: {found}.",
        hint="Check teacher.dialect (vllm, sglang, fireworks or together) and the server's version.",
    )
