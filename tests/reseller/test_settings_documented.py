"""Settings: documented without a gap, and no production without its secrets."""

import os
import re
import subprocess
import sys

import pytest

from tests.engines import ROOT

SECRETS = {
    "SECRET_KEY": "q8Zr5vXw2TnYb7Kc4MfHj9LpSd3GaEu6Rt1Wx0Vz8ByQwErTyUiOp",
    "CREDENTIAL_KEYS": "dGVzdC1vbmx5LW5vLXNlY3JldC0wMTIzNDU2Nzg5MDE=",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "STRIPE_SECRET_KEY": "sk_x",
    "STRIPE_WEBHOOK_SECRET": "whsec_x",
}


def _manage(*arguments, **environment):
    env = {"PATH": os.environ["PATH"], "READ_ENV_FILES": "false"} | environment
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)


def test_every_setting_that_is_read_is_in_the_example_and_no_other():
    read = set(re.findall(r"(?:env\.\w+|secret)\(\s*\"([A-Z_]+)\"", (ROOT / "reseller/settings.py").read_text()))
    assert len(read) > 20
    documented = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(read)


def test_every_setting_in_the_example_has_a_line_that_explains_it():
    lines = (ROOT / ".env.example").read_text().splitlines()
    blocks = {line.split("=")[0]: lines[number - 1] for number, line in enumerate(lines) if re.match(r"[A-Z_]+=", line)}
    unexplained = [name for name, above in blocks.items() if not above.startswith("#") and name != "SIMULATOR_PORT"]
    assert unexplained == []


@pytest.mark.parametrize("missing", SECRETS)
def test_production_refuses_to_start_without_a_secret_and_names_it(missing):
    secrets = {name: value for name, value in SECRETS.items() if name != missing}
    result = _manage("migrate", **secrets)
    assert result.returncode != 0
    sentence = f"{missing} is not set. Production needs it, see .env.example; else start make run."
    assert result.stderr.strip().splitlines()[-1].endswith(sentence)


def test_static_files_can_be_collected_for_an_image_without_secrets(tmp_path):
    result = _manage("collectstatic", "--noinput", "--dry-run", STATIC_ROOT=str(tmp_path))
    assert result.returncode == 0, result.stderr


def test_the_deployment_check_finds_what_hurts_in_production():
    environment = {
        "SITE_URL": "http://portal.example", "STRIPE_API_BASE": "http://127.0.0.1:8001", "LOCAL_WEBHOOKS": "true",
    }  # fmt: skip
    result = _manage("check", "--deploy", **SECRETS, **environment)
    found = set(re.findall(r"reseller\.[EW]\d+", result.stderr))
    assert found == {"reseller.E001", "reseller.E002", "reseller.E003", "reseller.W001"}
    assert result.returncode == 1


def test_the_deployment_check_is_content_with_the_example_and_its_secrets():
    example = dict(re.findall(r"^([A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    result = _manage(
        "check", "--deploy", "--fail-level", "WARNING", **{**example, **SECRETS, "READ_ENV_FILES": "false"}
    )
    assert result.returncode == 0, result.stderr
