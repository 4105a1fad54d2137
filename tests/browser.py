"""The running portal and a real Chromium in front of it.

A test that asks for ``page`` (or ``open_page`` for several people at once) drives the whole stack and fails on any
console error, uncaught exception or violation of the Content Security Policy, even when everything else is right.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from django.db import connections
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect
from pytest_django import DjangoDbBlocker

from reseller.run.stack import Stack
from tests.engines import copy_migrated

# Whether text can be read takes axe longest by far, and is the same for all that look the same. So of each look it sees
# one text; a look is all that bears on contrast from the text up to the root. What is placed apart may lie before
# anything, and axe judges neither signs and single letters nor what is disabled.
ONE_OF_EACH_LOOK = r"""
() => {
  const grounds = new Map([[null, ""]]), seen = new Set();
  const ground = element => {
    if (!grounds.has(element)) {
      const s = getComputedStyle(element), apart = /absolute|fixed|sticky/.test(s.position) ? grounds.size : "";
      const own = [element.tagName, element.className, s.backgroundColor, s.backgroundImage, s.opacity, s.filter];
      grounds.set(element, `${ground(element.parentElement)}|${own},${apart}`);
    }
    return grounds.get(element);
  };
  const isText = node => node.nodeType === Node.TEXT_NODE && node.data.trim();
  for (const element of document.querySelectorAll("body, body *")) {
    element.removeAttribute("data-look");
    const shown = element.checkVisibility({visibilityProperty: true}) && element.getClientRects().length;
    if (!shown || !(element.matches("input, select, textarea") || [...element.childNodes].some(isText))) continue;
    const s = getComputedStyle(element), words = /[\p{L}\p{N}].*[\p{L}\p{N}]/su.test(element.textContent);
    const off = !!(element.closest(":disabled, [aria-disabled=true]") || element.closest("label")?.control?.disabled);
    const look = [s.color, s.fontSize, s.fontWeight, s.textShadow, words, off, ground(element)].join();
    element.toggleAttribute("data-look", !seen.has(look));
    seen.add(look);
  }
  axe.configure({rules: [{id: "color-contrast", selector: "[data-look]"}]});
  return seen.size;
}
"""
PATIENCE = 30_000  # milliseconds; what is there at once costs nothing of it, and a busy machine is slow
expect.set_options(timeout=PATIENCE)
# What is drawn without a window, else the whole browser, which takes twice the processor time.
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tests of a shared portal run in one worker, so that it is started once (xdist reads the groups later).

    Those that kill its processes mostly wait for them to come back: they have a portal of their own, beside the others.
    """
    if "stack" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("faults" if item.get_closest_marker("faults") else "portal"))
        item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole portal with demo data, as `make run` starts it when it is migrated; in the end its books are right."""
    directory = tmp_path_factory.mktemp("portal")
    copy_migrated(directory / "postgres")
    with Stack(directory) as running:
        yield running
        proof = running.manage("verify_ledger")
        assert proof.returncode == 0, proof.stdout


@pytest.fixture
def stack_db(stack: Stack, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Django's models read and write the running portal's own database for the length of one test."""
    connections.close_all()
    wanted = connections["default"].settings_dict.copy()
    url = _parsed(stack.env["DATABASE_URL"])
    for alias in connections:
        for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME"):
            monkeypatch.setitem(connections.settings[alias], name, url.get(name, wanted[name]))
    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's Chromium (the variable CHROMIUM names another), quiet and without a sandbox, which root may not use."""
    # Playwright's loop counts as an async context in which Django would refuse its synchronous models.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    return browser_type_launch_args | {"executable_path": CHROMIUM, "args": list(CHROMIUM_OPTIONS)}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any], stack: Stack) -> dict[str, Any]:
    """Pages open relative to the running portal: ``page.goto("/billing/")``."""
    return browser_context_args | {"base_url": stack.url, "locale": "en-US", "timezone_id": "UTC"}


@pytest.fixture
def console_errors() -> list[str]:
    """What the browser complained about so far; a test that means to provoke it checks the list and clears it."""
    return []


@pytest.fixture
def open_page(new_context: Callable[..., BrowserContext], console_errors: list[str]) -> Iterator[Callable[..., Page]]:
    """``open_page()`` gives a page in a browser session of its own (other cookies); takes options of a context."""

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            console_errors.append(f"{message.text} ({message.location.get('url', '')})")

    def new_page(**options: Any) -> Page:
        page = new_context(**options).new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: console_errors.append(f"uncaught: {error}"))
        page.set_default_timeout(PATIENCE)
        return page

    yield new_page
    assert console_errors == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A page of the running portal."""
    return open_page()


@pytest.fixture
def assert_accessible() -> Callable[[Page], None]:
    """``assert_accessible(page)`` fails on axe-core violations of level serious or critical."""
    return check_accessibility


def check_accessibility(page: Page) -> None:
    """Run axe-core on the page as it is now."""
    if page.evaluate("typeof axe") != "object":  # it stays until the page is left
        page.evaluate(AXE_SCRIPT)
    page.evaluate(ONE_OF_EACH_LOOK)
    violations = page.evaluate("axe.run({resultTypes: ['violations']}).then(results => results.violations)")
    found = [
        f"{violation['id']} ({violation['impact']}): {node['html'][:160]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
    assert found == [], f"{page.url}: {found}"


def _parsed(database_url: str) -> dict[str, Any]:
    import environ

    return environ.Env.db_url_config(database_url)
