"""No memory left in the middle of a run: what took it, what to change, and a resume that takes the change."""

from __future__ import annotations

import pytest

from faults.comparison import model_digest, stored_events
from faults.harness import Torture
from opd.errors import InputError
from opd.events import RunResumed
from opd.jobs import Jobs
from opd.keys import Keys
from opd.store.amendments import amend
from opd.store.runs import RunFolder, RunStore
from run_processes import RunProcess
from studio_in_tests import until


def starve() -> None:
    """What PyTorch's CPU allocator says."""
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes.")


def starved(torture: Torture) -> RunFolder:
    run = torture.victim()
    assert RunProcess(run, fault_at="durable", occurrence=2, fault=starve).wait() == 1
    return run


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Torture:
    return Torture(tmp_path_factory.mktemp("memory"))


def test_the_largest_parts_and_the_way_out_are_named_and_taken(torture: Torture) -> None:
    run = starved(torture)
    failure = run.failure()
    assert failure is not None
    assert failure.code == "out_of_memory"
    assert "while the student was trained" in failure.message
    assert "By estimate it needs 0.6 GB; the largest parts: PyTorch 0.6 GB, Activations " in failure.message
    assert failure.hint.startswith("In this order: 1. micro_batch_size: 2, for the same result (saves ")
    assert "2. sampling.max_completion_tokens: 3 (saves " in failure.hint
    assert [fix.change for fix in failure.fixes] == [
        {"micro_batch_size": 2},
        {"sampling": {"max_completion_tokens": 3}},
        {"teacher": {"dtype": "bfloat16"}},
    ]
    amend(run, failure.fixes[0].change)
    process = RunProcess(run)
    assert process.wait() == 0, process.log()
    assert run.state() == "done"
    assert model_digest(run), "and there is a student"
    resumed = next(stored.event for stored in stored_events(run) if isinstance(stored.event, RunResumed))
    assert (resumed.step, resumed.exactness) == (2, "continued"), "from its checkpoint, and it says that it changed"
    assert "settings were changed" in resumed.reason
    assert run.summary().exactness == "continued"


def test_a_configuration_that_somebody_else_changed_is_another_run(torture: Torture) -> None:
    """Only changes that the run knows of go on from its checkpoints."""
    run = starved(torture)
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace("micro_batch_size: null", "micro_batch_size: 2"))
    assert RunProcess(run).wait() == 0
    resumed = next(stored.event for stored in stored_events(run) if isinstance(stored.event, RunResumed))
    assert resumed.step == 0
    assert "belongs to another configuration" in resumed.reason


@pytest.mark.usefixtures("light_runs")
def test_the_studio_applies_one_that_was_offered_and_no_other(torture: Torture) -> None:
    run = starved(torture)
    store = RunStore(run.path.parents[1])
    jobs = Jobs(store, Keys(store.root))
    with pytest.raises(InputError, match="numbers 1 to 3"):
        jobs.resume(run.run_id, fix=4)
    assert run.state() == "failed"
    jobs.resume(run.run_id, fix=2)
    assert run.config().sampling.max_completion_tokens == 3
    until(lambda: run.state() == "done", "the run to go on")
