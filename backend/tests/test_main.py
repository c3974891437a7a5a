"""The studio's server as a whole: one a folder, loopback only, one-use addresses, a strict policy, no torch."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from opd.api.access import TOKEN_FILE, read_token
from opd.api.guard import CONTENT_POLICY
from opd.end_request import EndRequest
from opd.errors import BusyError, InputError, StorageError
from opd.main import DEFAULT_PORT, StudioServer, create_app, listen
from opd.store.studio import StudioDb
from studio_in_tests import Client, open_studio, until

CODE = re.compile(r"http://127\.0\.0\.1:(\d+)/\?code=([0-9a-f-]+)")


def environment(folder: Path, **more: str) -> dict[str, str]:
    paths = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    return {**os.environ, "PYTHONPATH": paths, "OPD_DATA_DIR": str(folder), **more}


def studio_process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "opd.cli", "studio", "--no-browser", *arguments]
    return subprocess.Popen(
        command, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """`opd studio` as a person starts it: the process, its address, a one-use code."""
    process = studio_process(folder, "--port", "0")
    assert process.stdout is not None
    found = CODE.search(process.stdout.readline())
    assert found
    try:
        yield process, f"http://127.0.0.1:{found[1]}", found[2]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen[str], str, str]]:
    """One that tests look at and do not end, with its folder."""
    folder = tmp_path_factory.mktemp("standing")
    with started(folder) as (process, base, code):
        yield folder, process, base, code


def session(base: str, code: str) -> httpx2.Response:
    headers = {"content-type": "application/json", "x-opd": "1"}
    return httpx2.post(f"{base}/api/session", content=f'{{"code":"{code}"}}', headers=headers, trust_env=False)


def test_the_printed_address_opens_one_session(standing: tuple[Path, subprocess.Popen[str], str, str]) -> None:
    _, _, base, code = standing
    assert httpx2.get(f"{base}/api/runs", trust_env=False).status_code == 401
    assert httpx2.get(f"{base}/api/health", trust_env=False).json() == {"status": "ok"}
    answer = session(base, code)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Path=/" in cookie
    given = {"cookie": cookie.partition(";")[0]}
    assert httpx2.get(f"{base}/api/runs", headers=given, trust_env=False).status_code == 200
    again = session(base, code)
    assert (again.status_code, again.json()["error"]["code"]) == (401, "access_denied")
    assert "set-cookie" not in again.headers


def test_a_second_studio_of_the_folder_exits_3_and_names_the_first(
    standing: tuple[Path, subprocess.Popen[str], str, str],
) -> None:
    folder, first, base, _ = standing
    second = studio_process(folder)
    out, err = second.communicate()
    assert second.returncode == 3
    assert out == ""
    assert f"process {first.pid}" in err
    fresh = CODE.search(err)
    assert fresh
    assert session(base, fresh[2]).status_code == 200, "the address that it prints opens the running studio"


def test_only_loopback_is_bound(standing: tuple[Path, subprocess.Popen[str], str, str]) -> None:
    bound = [c.laddr.ip for c in psutil.Process(standing[1].pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert bound == ["127.0.0.1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_and_gives_the_folder_back(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path) as (process, base, _):
        assert httpx2.get(f"{base}/api/health", trust_env=False).json() == {"status": "ok"}, "what is printed answers"
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == 0
    assert "Traceback" not in err
    with open_studio(tmp_path) as client:
        assert client.get("/api/runs").status_code == 200


def test_ctrl_c_while_a_studio_starts_is_heard_when_it_stands(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with EndRequest() as end, StudioServer(tmp_path, port=0) as server:
        signal.raise_signal(signal.SIGINT)
        server.wait(end)
        assert server.url
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait() -> None:
    with EndRequest() as end:
        signal.raise_signal(signal.SIGTERM)
        assert end.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_session_survives_the_death_of_the_server(tmp_path: Path) -> None:
    first = studio_process(tmp_path, "--port", "0")
    assert first.stdout is not None
    found = CODE.search(first.stdout.readline())
    assert found
    cookie = session(f"http://127.0.0.1:{found[1]}", found[2]).headers["set-cookie"].partition(";")[0]
    first.kill()
    first.communicate()
    with StudioServer(tmp_path, port=int(found[1])) as server:
        answer = httpx2.get(f"{server.url}api/runs", headers={"cookie": cookie}, trust_env=False)
        assert answer.status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.10", "example.com", "127.0.0.2"])  # noqa: S104
def test_other_hosts_are_refused_before_anything_is_opened(tmp_path: Path, host: str) -> None:
    for options in ({}, {"expose": True}, {"token": "t" * 64}):
        with pytest.raises(InputError):
            StudioServer(tmp_path, host=host, **options)
    with pytest.raises(InputError, match="too short"):
        StudioServer(tmp_path, host=host, expose=True, token="short")
    assert list(tmp_path.iterdir()) == []


def test_an_exposed_studio_takes_the_given_token_and_its_own_names_only(tmp_path: Path) -> None:
    with StudioServer(tmp_path, port=0, host="0.0.0.0", expose=True, token="t" * 64) as server:  # noqa: S104
        url = f"http://127.0.0.1:{server.port}/api/runs"
        given = {"authorization": f"Bearer {'t' * 64}"}
        assert httpx2.get(url, headers=given, trust_env=False).status_code == 200
        evil = {**given, "host": f"evil.com:{server.port}"}
        assert httpx2.get(url, headers=evil, trust_env=False).status_code == 403


def test_a_taken_port_is_named_and_not_asked_for_ones_give_way(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}"):
            StudioServer(tmp_path, port=port).__enter__()
    taken = listen("127.0.0.1", None)
    try:
        other_port = listen("127.0.0.1", None)
        assert other_port.getsockname()[1] != taken.getsockname()[1] >= DEFAULT_PORT
        other_port.close()
    finally:
        taken.close()
    with open_studio(tmp_path) as client:
        assert client.get("/api/health").status_code == 200, "a failed start gave the folder back"


def test_the_token_is_for_its_owner_only(tmp_path: Path) -> None:
    token = read_token(tmp_path / "data")
    path = tmp_path / "data" / TOKEN_FILE
    assert read_token(tmp_path / "data") == token
    assert len(token) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("")
    with pytest.raises(StorageError, match="no token"):
        read_token(tmp_path / "data")


def test_a_damaged_database_is_named_and_left_alone(tmp_path: Path) -> None:
    StudioDb(tmp_path / "studio.db").close()
    damaged = b"this is no database" * 100
    (tmp_path / "studio.db").write_bytes(damaged)
    with pytest.raises(StorageError, match=r"studio\.db"), open_studio(tmp_path):
        pass
    assert (tmp_path / "studio.db").read_bytes() == damaged


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "ui"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "assets" / "index-4f3a.js").write_text("export {}")
    (folder / "favicon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


async def test_pages_have_their_types_and_policy_and_nothing_else_is_served(tmp_path: Path, pages: Path) -> None:
    app = create_app(tmp_path / "data", 80, "t" * 64, pages=pages)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:80", headers={"host": "127.0.0.1:80"}
    ) as client:
        index = await client.get("/")
        assert index.text.startswith("<!doctype html>")
        for route in ("/runs/20260101-000000-abcd", "/settings", "/index.html"):
            assert (await client.get(route)).text == index.text
        script = await client.get("/assets/index-4f3a.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "immutable" in script.headers["cache-control"]
        assert (await client.get("/favicon.svg")).headers["cache-control"] == "no-cache"
        assert (await client.head("/")).status_code == 200
        for path in (
            "/link.txt", "/assets/none.js", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt",
            "/assets/..%2f..%2fsecret.txt", "//etc/passwd.txt", "/assets/%00.js",
        ):  # fmt: skip
            answer = await client.get(path)
            assert answer.status_code == 404, path
            assert "secret" not in answer.text
        for answer in (index, script, await client.get("/api/runs"), await client.get("/nothing.js")):
            assert answer.headers["content-security-policy"] == CONTENT_POLICY
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["x-frame-options"] == "DENY"
            assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "frame-ancestors 'none'" in CONTENT_POLICY
    assert "script-src 'self';" in CONTENT_POLICY


def test_the_server_never_loads_torch_and_stays_small(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from studio_in_tests import open_studio, settings
import psutil
with open_studio(Path(sys.argv[1])) as client:
    for path in ("system", "teachers", "datasets", "config/schema", "keys", "runs", "openapi.json", "opd/status"):
        assert client.get(f"/api/{path}").status_code in (200, 404), path
    for path in ("preflight", "opd/estimate-cost", "config/check"):
        assert client.send_json("POST", f"/api/{path}", {"config": settings()}).status_code == 200
    heavy = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy"} & set(sys.modules)
    print(sorted(heavy), psutil.Process().memory_info().rss)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    heavy, _, rss = done.stdout.strip().rpartition(" ")
    assert heavy == "[]"
    assert int(rss) < 200 * 2**20


def test_runs_of_the_command_line_are_found_and_a_killed_server_changes_none(tmp_path: Path, light_runs: None) -> None:
    script = """
import sys, opd.jobs
from pathlib import Path
from studio_in_tests import LIGHT_PIPELINE, open_studio
opd.jobs.PIPELINE = LIGHT_PIPELINE
with open_studio(Path(sys.argv[1])) as client:
    print(client.start("steps=100000 rate=50", "request-1").json()["run_id"], flush=True)
    sys.stdin.readline()
"""
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    run_id = starter.stdout.readline().strip()
    starter.kill()
    starter.communicate()
    with open_studio(tmp_path) as client:
        status = client.get("/api/opd/status").json()
        assert (status["run_id"], status["state"]) == (run_id, "running")
        seen = status["summary"]["step"]
        until(lambda: client.get("/api/opd/status").json()["summary"]["step"] > seen, "the run to go on")
        assert client.start("steps=1", "request-2").status_code == 409
        client.send_json("POST", "/api/opd/stop", {"run_id": run_id})
        client.wait_for(run_id, "stopped")


def test_two_servers_of_one_process_cannot_share_a_folder(tmp_path: Path) -> None:
    with open_studio(tmp_path) as client:
        assert isinstance(client, Client)
        with pytest.raises(BusyError):
            StudioServer(tmp_path, port=0).__enter__()
