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
# one text, once at each width of the window; a look is all that bears on contrast from the text up to the root. What is
# placed apart may lie before anything, so it is seen on each page, and axe judges neither signs and single letters nor
# what is disabled.
ONE_OF_EACH_LOOK = r"""
known => {
  const grounds = new Map([[null, ""]]), seen = new Set(known), fresh = [];
  const ground = element => {
    if (!grounds.has(element)) {
      const s = getComputedStyle(element), apart = /absolute|fixed|sticky/.test(s.position);
      const own = [element.tagName, element.className, s.backgroundColor, s.backgroundImage, s.opacity, s.filter];
      const place = apart ? `apart ${grounds.size}` : "";
      grounds.set(element, `${ground(element.parentElement)}|${own},${place}`);
    }
    return grounds.get(element);
  };
  const names = new Map();
  const named = look => {  // 64 bits in base 36
    if (!names.has(look)) {
      let a = 0x811c9dc5, b = 0x9e3779b9;
      for (let at = 0; at < look.length; at++) {
        a = Math.imul(a ^ look.charCodeAt(at), 0x01000193);
        b = Math.imul(b ^ look.charCodeAt(at), 0x85ebca6b) ^ (b >>> 13);
      }
      names.set(look, (a >>> 0).toString(36) + (b >>> 0).toString(36));
    }
    return names.get(look);
  };
  const isText = node => node.nodeType === Node.TEXT_NODE && node.data.trim();
  for (const element of document.querySelectorAll("body, body *")) {
    element.removeAttribute("data-look");
    const shown = element.checkVisibility({visibilityProperty: true}) && element.getClientRects().length;
    if (!shown || !(element.matches("input, select, textarea") || [...element.childNodes].some(isText))) continue;
    const s = getComputedStyle(element), words = /[\p{L}\p{N}].*[\p{L}\p{N}]/su.test(element.textContent);
    const off = !!(element.closest(":disabled, [aria-disabled=true]") || element.closest("label")?.control?.disabled);
    const whole = [s.color, s.fontSize, s.fontWeight, s.textShadow, words, off, ground(element)].join();
    const look = named(whole);
    element.toggleAttribute("data-look", !seen.has(look));
    if (!seen.has(look) && !whole.includes(",apart ")) fresh.push(look);
    seen.add(look);
  }
  axe.configure({rules: [{id: "color-contrast", selector: "[data-look]"}]});
  return fresh;
}
"""
# Only what would fail a test is looked for: axe gives every finding the impact of its rule, where that has one.
VIOLATIONS = """
() => {
  const left_out = ["experimental", "deprecated"];  // by axe itself, unless they are asked for by name
  const rules = axe._audit.rules.filter(rule => rule.enabled && !["minor", "moderate"].includes(rule.impact)
    && !rule.tags.some(tag => left_out.includes(tag)));
  return axe.run({resultTypes: ["violations"], runOnly: rules.map(rule => rule.id)}).then(found => found.violations);
}
"""
_readable: dict[int, set[str]] = {}  # width of the window -> looks that axe has found readable
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
WIDTHS = (380, 1280)  # pixels: a telephone, and a desk
# What draws itself anew in a window of another size has done so three frames later.
REDRAWN = "async () => { for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame) }"
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stop the portal after the last test that needs it: its processes take a seventh of a processor by waiting."""
    yield
    if "stack" in getattr(item, "fixturenames", ()) and "stack" not in getattr(nextitem, "fixturenames", ()):
        for definition in item.session._fixturemanager.getfixturedefs("stack", item) or ():
            definition.finish(item._request)  # type: ignore[attr-defined]


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


@pytest.fixture
def assert_looks_right() -> Callable[[Page], None]:
    """``assert_looks_right(page)``: at both widths axe finds nothing, and nobody has to scroll sideways."""
    return check_looks


def check_looks(page: Page) -> None:
    """Look at the page as it is now in a wide window and on a telephone; its window has its size again afterwards."""
    before = page.viewport_size
    assert before is not None
    for width in WIDTHS if before["width"] != WIDTHS[0] else reversed(WIDTHS):
        page.set_viewport_size({"width": width, "height": before["height"]})
        page.evaluate(REDRAWN)
        check_accessibility(page)
        assert page.evaluate(FITS), f"{page.url} is wider than {width} pixels"


def check_accessibility(page: Page) -> None:
    """Run axe-core on the page as it is now."""
    if page.evaluate("typeof axe") != "object":  # it stays until the page is left
        page.evaluate(AXE_SCRIPT)
    readable = _readable.setdefault(page.evaluate("innerWidth"), set())
    fresh = page.evaluate(ONE_OF_EACH_LOOK, list(readable))
    found = [
        f"{violation['id']} ({violation['impact']}): {node['html'][:160]}"
        for violation in page.evaluate(VIOLATIONS)
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
    assert found == [], f"{page.url}: {found}"
    readable.update(fresh)


def _parsed(database_url: str) -> dict[str, Any]:
    import environ

    return environ.Env.db_url_config(database_url)
