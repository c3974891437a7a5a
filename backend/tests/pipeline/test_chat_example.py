"""The offline example as it is, against `opd serve` with the bundled teacher; only its length is cut."""

from __future__ import annotations

from pathlib import Path

from loopback import serving
from opd.config import ChatTeacher, load_config
from opd.demo.bundled import chat_teacher_dir
from opd.pipeline.run import run_folder
from opd.serving.app import create_serving_app
from opd.store.money import Ledger, costs
from opd.store.runs import RunStore
from opd.teachers.chat.readiness import look

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_the_offline_example_runs_against_opd_serve(tmp_path: Path) -> None:
    config = load_config(EXAMPLES / "analyst-chat-offline.yaml")
    assert isinstance(config.teacher, ChatTeacher)
    assert {item.status for item in look(config, lambda name: False)} == {"ok"}
    with serving(create_serving_app(chat_teacher_dir(), name="teacher", device="cpu")) as url:
        shorter = {
            "teacher": config.teacher.model_copy(update={"base_url": f"{url}/v1"}),
            "expansion": config.expansion.model_copy(update={"num_prompts": 8}),
            "objective": config.objective.model_copy(update={"drafts": 8, "refresh_every": 1}),
            "evaluation": config.evaluation.model_copy(update={"enabled": False, "probe_prompts": 0}),
            "max_steps": 2,
            "num_threads": 1,
            "device": "cpu",
        }
        run = RunStore(tmp_path).create(config.model_copy(update=shorter))
        assert run_folder(run) == 0, (run.path / "exit.json").read_text()
    said = {stage.stage: stage for stage in run.summary().stages}
    assert said["answers"].numbers["answers"] > 100
    assert said["expansion"].numbers["written"] == 8
    assert said["marking"].numbers["drafts"] == 16
    with Ledger(tmp_path / "money.db") as ledger:
        rows = costs(ledger, run_id=run.run_id)
    assert {row.stage for row in rows} == {"answers", "expansion", "marking"}
    assert sum(row.spent_nano_usd for row in rows) == 0


def test_the_cloud_example_is_ready_but_for_its_key_and_the_terms() -> None:
    found = look(load_config(EXAMPLES / "analyst-chat.yaml"), lambda name: False)
    assert {item.id: item.status for item in found} == {
        "teacher": "fail",
        "price": "ok",
        "budget": "ok",
        "terms": "warn",
    }
