"""docs/operations.md: what it says to type exists and works."""

import re

import pytest
from django.core.management import get_commands
from django.db import connection

from messaging.connectors.process import END_SECONDS
from reseller.health import CHECKS, QUEUES
from tests.engines import ROOT

DOC = (ROOT / "docs/operations.md").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
BLOCKS = re.findall(r"```(sh|sql)\n(.*?)```", DOC, re.DOTALL)
QUERIES = [query for kind, block in BLOCKS if kind == "sql" for query in block.split(";") if query.strip()]
SHELL = "".join(block for kind, block in BLOCKS if kind == "sh")


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_every_query_runs_as_the_application(db: None, query: str):
    with connection.cursor() as cursor:
        cursor.execute(query)
        assert cursor.description


def test_every_command_is_one_of_ours_and_every_process_is_known():
    named = set(re.findall(r"manage\.py ([a-z_]+)", DOC))
    assert named >= {"after_restore", "check_health", "setup_database", "verify_ledger"}
    assert named <= set(get_commands())
    assert set(re.findall(r"check_health ([a-z][a-z-]*)", DOC)) <= set(CHECKS)
    services = set(re.findall(r"^  ([a-z-]+):$", COMPOSE, re.MULTILINE))
    assert set(re.findall(r"--scale ([a-z-]+)=", SHELL)) <= services
    assert "for queue in " + " ".join(QUEUES) in SHELL


def test_every_setting_that_it_names_is_documented_or_read():
    known = (ROOT / ".env.example").read_text() + (ROOT / "gunicorn.conf.py").read_text() + COMPOSE
    named = set(re.findall(r"`([A-Z][A-Z]+_[A-Z_]+)`", DOC))
    assert {name for name in named if name not in known} == set()


def test_its_sections_and_targets_are_there():
    headings = {re.sub(r"[^a-z -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^## (.+)$", DOC, re.M)}
    assert set(re.findall(r"\]\(#([a-z-]+)\)", DOC)) <= headings
    assert "\ntest-faults:" in (ROOT / "Makefile").read_text()


def test_whoever_stops_a_process_waits_until_it_has_drained():
    grace = int(re.search(r"stop_grace_period: (\d+)s", COMPOSE)[1])
    web = int(re.search(r"graceful_timeout = (\d+)", (ROOT / "gunicorn.conf.py").read_text())[1])
    assert grace > END_SECONDS
    assert grace > web
