"""The doctor: every check tells the truth about a machine that is made to differ."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opd import doctor
from opd.doctor import Check, run_checks
from opd.errors import OPDError
from opd.machine import Device

CANARY = "sk-canary-1234567890"


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_all_checks_of_this_machine(tmp_path: Path) -> None:
    checks = run_checks(tmp_path / "not" / "yet")
    found = by_name(checks)
    assert len(found) == len(checks) >= 12
    for name in ("Python", "Packages", "Data folder", "Database", "Example data"):
        assert found[name].status == "ok", found[name]
    assert "will be created" in found["Data folder"].detail
    assert not (tmp_path / "not").exists()
    assert "(119)" in found["Example data"].detail
    assert json.loads(json.dumps([check.as_dict() for check in checks]))
    assert all(check.fix for check in checks if check.status != "ok")


def test_the_text_names_every_check_and_its_fix() -> None:
    checks = [Check("One", "ok", "fine"), Check("Another", "fail", "broken", "Mend it.")]
    text = doctor.render_checks(checks)
    assert text.splitlines() == [
        "ok    One      fine",
        "FAIL  Another  broken",
        "               Mend it.",
        "1 of 2 checks failed.",
    ]
    assert doctor.render_checks(checks[:1]).endswith("This installation is in order.")


def test_keys_are_named_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    check = doctor.check_keys(tmp_path)
    assert (check.status, check.detail) == ("ok", "openai (environment)")
    assert CANARY not in doctor.render_checks(run_checks(tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_a_key_file_that_others_can_read_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"anthropic": CANARY}))
    file.chmod(0o644)
    assert doctor.check_keys(tmp_path).status == "warn"
    file.chmod(0o600)
    assert doctor.check_keys(tmp_path) == Check("Keys", "ok", doctor.check_keys(tmp_path).detail)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to give up root's rights")
@pytest.mark.parametrize("mode", [0o555, 0o000], ids=["not to be written", "not to be entered"])
def test_a_folder_without_rights_fails(mode: int) -> None:
    locked = Path(tempfile.mkdtemp(prefix="opd-doctor-"))  # tmp_path lies in a folder that other users may not enter
    locked.chmod(mode)
    child = os.fork()
    if child == 0:
        code = 9
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            checks = [doctor.check_data_dir(locked / "data"), doctor.check_database(locked / "data")]
            code = 7 if all(check.status == "fail" and check.fix for check in checks) else 8
            if (mode == 0) != (doctor.check_disk(locked / "data").status == "fail"):
                code = 6
        finally:
            os._exit(code)
    exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    locked.chmod(0o700)
    locked.rmdir()
    assert exit_code == 7


@pytest.mark.parametrize(("free", "status"), [(0.5, "fail"), (5, "warn"), (50, "ok")])
def test_free_space(free: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": int(free * doctor.GIB)})
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    assert doctor.check_disk(tmp_path).status == status


def test_a_gpu_with_the_cpu_build_of_torch_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Device(kind="cuda", name="GPU", memory_total_bytes=2**34, memory_available_bytes=2**34)
    monkeypatch.setattr(doctor, "find_device", lambda: gpu)
    monkeypatch.setattr(doctor, "package_versions", lambda: (("torch", "2.13.0+cpu"),))
    assert doctor.check_device().status == "warn"
    monkeypatch.setattr(doctor, "package_versions", lambda: (("torch", "2.13.0"),))
    assert doctor.check_device().status == "ok"


def test_missing_and_untested_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "package_versions", lambda: (("fastapi", None), ("openai", "3"), ("trl", "1.17.0")))
    assert doctor.check_packages().detail == "missing: fastapi"
    monkeypatch.setattr(doctor, "missing_training_packages", lambda: ["torch"])
    assert doctor.check_training_packages().status == "warn"
    monkeypatch.setattr(doctor, "missing_training_packages", list)
    assert doctor.check_training_packages().status == "fail"


def test_declared_packages_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = ["typer>=0.29", "no-such-package>=1", 'torch>=2 ; extra == "train"', "uvicorn[standard]>=0.54"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: declared)
    assert doctor.check_packages().detail == "missing: no-such-package"


@pytest.mark.parametrize(("age", "status"), [(10, "ok"), (31, "warn"), (91, "warn")])
def test_old_prices(age: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "price_data_date", lambda: datetime.now(UTC).date() - timedelta(days=age))
    check = doctor.check_prices()
    assert check.status == status
    assert ("will ask for a price" in check.detail) == (age > 90)


def test_damaged_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "example.jsonl"
    path.write_text("nonsense")
    monkeypatch.setattr(doctor, "example_data", lambda: {path: path.name})
    assert doctor.check_examples().detail == "damaged: example.jsonl"


def test_a_broken_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from opd.doctor import installation

    monkeypatch.setattr(installation, "example_data", dict)
    with pytest.raises(OPDError, match=r"on_policy_prompts_test\.jsonl is missing"):
        installation.check_installation(lambda _line: None)


def test_the_doctor_loads_no_ml_package(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, opd.doctor as d; d.run_checks(pathlib.Path(sys.argv[1]))\n"
        "print(sorted({'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
