"""`make run`: refusals in one sentence, restarts, and an end that leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from reseller import health
from reseller.engines import reserve_port
from reseller.processes import is_running
from reseller.run.config import BASE_DIR, Config, StartError
from reseller.run.services import Service, portal_services
from reseller.run.stack import Stack
from reseller.run.supervisor import LogTail, Supervisor


def _run(local_dir, **environment):
    """`python -m reseller.run` to its end, which must come at once."""
    env = os.environ | {"READ_ENV_FILES": "false", "ENVIRONMENT": "development", "LOCAL_DIR": str(local_dir)}
    for name in ("DATABASE_URL", "REDIS_URL", "STRIPE_SECRET_KEY", "SIMULATOR_CONTROL_PORT"):
        env.pop(name, None)
    command = [sys.executable, "-m", "reseller.run"]
    return subprocess.run(command, env=env | environment, cwd=BASE_DIR, capture_output=True, text=True, timeout=30)


PORTS = ("PORT", "STRIPE_DOUBLE_PORT", "SIMULATOR_PORT", "SIMULATOR_CONTROL_PORT")


@pytest.mark.parametrize("variable", PORTS)
def test_a_taken_port_is_one_sentence(tmp_path, variable):
    ports = {name: str(reserve_port()) for name in PORTS}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports[variable] = str(taken.getsockname()[1])
        result = _run(tmp_path, **ports)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"Port {ports[variable]} for" in result.stderr
    assert f"{variable}=" in result.stderr
    assert not (tmp_path / "postgres").exists()


def test_a_port_that_is_none_is_one_sentence(tmp_path):
    result = _run(tmp_path, PORT="eighty")
    assert (result.returncode, result.stderr) == (
        1,
        "make run: PORT is 'eighty'; it must be a port number from 1 to 65535.\n",
    )


def test_a_missing_tool_is_one_sentence(tmp_path, monkeypatch):
    from reseller import processes

    monkeypatch.setattr(processes.shutil, "which", lambda *args, **kwargs: None)
    with pytest.raises(processes.MissingToolError, match=r"setpriv is missing\. Install it with"):
        processes.wrap(["true"])


def test_secrets_are_random_kept_and_private(tmp_path):
    first = Config.from_environment({"LOCAL_DIR": str(tmp_path / "a")})
    other = Config.from_environment({"LOCAL_DIR": str(tmp_path / "b")})
    urls = {"database_url": "postgres://x", "redis_url": "redis://x"}
    values = first.run_environment(**urls)
    assert first.run_environment(**urls) == values
    assert len(values["SECRET_KEY"]) >= 50
    assert values["SECRET_KEY"] != other.run_environment(**urls)["SECRET_KEY"]
    first.write_run_env(values)
    assert first.run_env.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a" / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_real_stripe_keys_switch_the_double_off(tmp_path):
    config = Config.from_environment({"LOCAL_DIR": str(tmp_path), "STRIPE_SECRET_KEY": "sk_live_x"})
    values = config.run_environment(database_url="postgres://x", redis_url="redis://x")
    assert not config.has_stripe_double
    assert "STRIPE_API_BASE" not in values


def test_the_double_stays_part_of_a_run_that_has_put_its_own_keys_into_the_environment(tmp_path):
    environment = {"LOCAL_DIR": str(tmp_path)}
    config = Config.from_environment(environment)
    environment |= config.run_environment(database_url="postgres://x", redis_url="redis://x")
    names = [service.name for service in portal_services(config, environment)]
    assert names == [*health.CHECKS]


def test_production_gets_no_demo_secrets(tmp_path):
    config = Config.from_environment({"LOCAL_DIR": str(tmp_path), "ENVIRONMENT": "production"})
    values = config.run_environment(database_url="postgres://x", redis_url="redis://x")
    assert not {"SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "EMAIL_URL"} & values.keys()


def _service(tmp_path, code, check=lambda: None):
    from reseller.processes import spawn

    log = tmp_path / "child.log"
    return Service("child", lambda: spawn([sys.executable, "-c", code], log=log), check, log)


def _fail():
    raise OSError("nobody listens")


def _supervisor(tmp_path):
    said = []
    return Supervisor(said.append, tmp_path / "pids.json", os.getpid()), said


def test_a_killed_child_is_started_again_and_said_so(tmp_path):
    supervisor, said = _supervisor(tmp_path)
    supervisor.start([_service(tmp_path, "import time; time.sleep(60)")])
    old = json.loads((tmp_path / "pids.json").read_text())["child"]
    os.kill(old, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while json.loads((tmp_path / "pids.json").read_text()).get("child", old) == old and time.monotonic() < deadline:
        supervisor.watch()
        time.sleep(0.05)
    new = json.loads((tmp_path / "pids.json").read_text())["child"]
    supervisor.stop(["child"])
    assert new != old
    assert len(said) == 1
    assert "child was killed by SIGKILL; starting it again in 0.5 s" in said[0]
    assert not is_running(new, "")


def test_the_delay_before_a_restart_doubles(tmp_path):
    supervisor, said = _supervisor(tmp_path)
    supervisor.start([_service(tmp_path, "raise SystemExit(3)")])
    deadline = time.monotonic() + 15
    while len(said) < 3 and time.monotonic() < deadline:
        supervisor.watch()
        time.sleep(0.02)
    supervisor.stop(["child"])
    assert [line.split("(")[0] for line in said[:3]] == [
        f"child ended with status 3; starting it again in {delay} s " for delay in ("0.5", "1", "2")
    ]


def test_a_child_that_keeps_dying_at_start_ends_the_start_with_its_own_words(tmp_path):
    supervisor, _ = _supervisor(tmp_path)
    service = _service(tmp_path, "raise SystemExit('no such carrier')", check=_fail)
    supervisor.start([service])
    with pytest.raises(StartError, match="child did not start: no such carrier"):
        supervisor.wait_healthy([service], 20)
    supervisor.stop(["child"])


def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(tmp_path, monkeypatch):
    monkeypatch.setattr("reseller.run.supervisor.END_PATIENCE", 0.5)
    marker = tmp_path / "grandchild"
    code = (
        "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"p = subprocess.Popen(['sleep', '60']); open({str(marker)!r}, 'w').write(str(p.pid)); time.sleep(60)"
    )
    supervisor, _ = _supervisor(tmp_path)
    supervisor.start([_service(tmp_path, code)])
    deadline = time.monotonic() + 10
    while not (marker.exists() and marker.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    supervisor.stop(["child"])
    time.sleep(0.1)
    assert not is_running(int(marker.read_text()), "sleep")


def test_the_console_shows_warnings_and_keeps_the_rest_in_the_log(tmp_path):
    service = _service(tmp_path, "")
    shown = []
    tail = LogTail([service], shown.append, everything=False)
    service.log.write_text("all fine\n2026-11-21 [warning  ] low on credit\nhalf a li")
    tail.show()
    tail.show()
    assert shown == ["child | 2026-11-21 [warning  ] low on credit"]


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.xdist_group("run")
@pytest.mark.long
@pytest.mark.e2e
def test_a_whole_run_refuses_a_second_one_restarts_what_dies_and_leaves_nothing_behind(tmp_path):
    stack = Stack(tmp_path / "portal").start()
    again = _run(stack.local_dir, PORT=str(reserve_port()))
    assert again.returncode == 1
    assert again.stderr.startswith("make run: the portal already runs from this directory (pid ")
    assert again.stderr.count("\n") == 1
    for name in ("web", "worker-settle", "postgres"):
        old = stack.kill(name)
        assert stack.wait_restarted(name, old) != old
    pids = stack.pids
    assert sorted(pids) == sorted(["supervisor", "postgres", "valkey", *health.CHECKS])
    stack.kill("supervisor")
    deadline = time.monotonic() + 20
    while (stack.survivors(pids) or _answers(stack.port)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert stack.survivors(pids) == []
    assert not _answers(stack.port)  # the web's own children need a second to see that they are alone
    stack.stop()
    with stack:  # on the data of the run that was killed
        pids = stack.pids
        assert stack.manage("check_health", "web").stdout == "web: ok\n"
        began = time.monotonic()
        assert stack.stop() == 0
    assert stack.survivors(pids) == []
    assert time.monotonic() - began < 25
    assert not (stack.local_dir / "run.env").exists()
