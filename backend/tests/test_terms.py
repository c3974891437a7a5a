"""A provider's terms are accepted by a person, for each run, before anything starts; and the run keeps the record."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from opd.config import ChatTeacher, RunConfig
from opd.jobs import Jobs
from opd.keys import Keys
from opd.store.runs import RunStore
from opd.terms import TermsNotAcceptedError, notice_for, require_accepted
from studio_in_tests import config


def with_teacher(model: str, base_url: str | None = None) -> RunConfig:
    """A configuration with a chat teacher, whatever the objectives can do with one."""
    return config().model_copy(update={"teacher": ChatTeacher(model=model, base_url=base_url)})


@pytest.mark.parametrize(
    "model", ["openai/gpt-4o-mini", "anthropic/claude-x", "gemini/x", "google/x", "openrouter/a/b"]
)
def test_restricting_providers_have_a_notice(model: str) -> None:
    notice = notice_for(with_teacher(model))
    assert notice is not None
    assert notice.address.startswith("https://")
    with pytest.raises(TermsNotAcceptedError) as refused:
        require_accepted(with_teacher(model), ["terms-of-somebody-else"])
    assert notice.code in refused.value.hint
    require_accepted(with_teacher(model), [notice.code])


def test_models_of_ones_own_have_none() -> None:
    assert notice_for(with_teacher("local/qwen3:8b", "http://127.0.0.1:11434/v1")) is None
    assert notice_for(config()) is None


def test_nothing_is_made_without_acceptance_and_the_record_stays_with_the_run(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    jobs = Jobs(store, Keys(tmp_path))
    wanted = with_teacher("openai/gpt-4o-mini")
    for start in (jobs.start, jobs.claim):
        with pytest.raises(TermsNotAcceptedError):
            start(wanted)
    assert list(store) == []
    notice = notice_for(wanted)
    assert notice is not None
    run = store.create(wanted)
    run.accept([notice.code])
    (moment,) = run.accepted().values()
    assert datetime.fromisoformat(moment).tzinfo is not None
    run.accept([notice.code, "another"])
    assert run.accepted()[notice.code] == moment
