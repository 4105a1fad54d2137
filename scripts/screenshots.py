"""Takes the README's pictures from a running demo: `make run`, then `.venv/bin/python scripts/screenshots.py [URL]`.

Only looks, but for one text: the handset sends the demo's keyword to the client's number, where it has not yet. Nothing
is bought or saved. CHROMIUM names another browser than Debian's.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, sync_playwright

TARGET = Path(__file__).resolve().parent.parent / "docs" / "screenshots"
PASSWORD = "Demo-pass-2026"  # noqa: S105 - the demo's public one
DESK = {"width": 1280, "height": 860}
PHONE = {"width": 380, "height": 800}
LARGEST = 200_000  # bytes
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
TEXT = "Hi! Your parcel is on the van and arrives today between 2 and 4 pm. Reply STOP to opt out."
PATIENT = "+61491570110"  # a contact of the demo's client
RECIPIENTS = "0412 345 678, 0412 345 679, 0412 345 678, +64 21 123 4567, +44 7400 152423, 12345"


def log_in(browser: Browser, url: str, login: str, size: Any) -> Page:
    """A page of the demo's user in a session of its own."""
    page = browser.new_context(viewport=size, base_url=url, locale="en-AU").new_page()
    page.goto("/login/")
    page.get_by_label("E-mail or login name").fill(f"{login}@demo.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda found: "/login/" not in found)
    return page


def keep(page: Page, name: str) -> None:
    """Save what the window shows now, without a caret or a half-drawn chart. Raises SystemExit for a huge file."""
    page.wait_for_load_state("networkidle")
    file = TARGET / f"{name}.png"
    page.screenshot(path=file, animations="disabled")
    if file.stat().st_size > LARGEST:
        raise SystemExit(f"{file} has {file.stat().st_size:,} bytes; at most {LARGEST:,} are wanted.")


def show_reseller(page: Page) -> None:
    """DASHBOARD, ADD CLIENT down to its prices, and the statement."""
    page.goto("/")
    keep(page, "dashboard")
    page.goto("/clients/add/")
    page.get_by_label("Client Contact Name").fill("Jamie Fox")
    page.get_by_label("Client Account Name").fill("Fox & Sons Plumbing")
    page.get_by_label("Client Mobile").fill("0412 345 678")
    page.get_by_label("Client Contact Email").fill("jamie@fox.example")
    page.set_viewport_size({"width": DESK["width"], "height": 1900})
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    keep(page, "add-client")
    page.set_viewport_size({"width": DESK["width"], "height": DESK["height"]})
    page.goto("/billing/")
    keep(page, "billing")


def show_client(page: Page) -> None:
    """The preview of SEND SMS, and the last batch of which a message was refused."""
    page.goto("/send/")
    page.get_by_label("Recipients").fill(RECIPIENTS)
    page.get_by_label("Sender").fill("Harbourside")
    page.get_by_label("Text").fill(TEXT)
    page.get_by_role("button", name="PREVIEW").click()
    page.get_by_role("heading", name="Preview").wait_for()
    page.set_viewport_size({"width": DESK["width"], "height": 1040})
    keep(page, "send-preview")
    page.set_viewport_size({"width": DESK["width"], "height": DESK["height"]})
    page.goto("/messages/?state=rejected")
    page.locator("tbody a").first.click()
    page.get_by_role("link", name="Batch ").click()
    page.get_by_role("heading", name="Progress").wait_for()
    keep(page, "batch")


def show_replies(desk: Page, phone: Page) -> None:
    """HANDSET with a keyword and its answer, and the same conversation in the INBOX."""
    phone.goto(f"/handset/?{urlencode({'phone': PATIENT})}")
    screen = phone.locator("#screen")
    if not screen.get_by_text("Welcome").count():
        phone.get_by_label("Text", exact=True).fill("JOIN")
        phone.get_by_role("button", name="Send").click()
    screen.get_by_text("Welcome").first.wait_for(timeout=60_000)
    phone.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    keep(phone, "handset")
    desk.goto("/inbox/")
    desk.get_by_role("link", name="Mia Novak").first.click()
    desk.get_by_text("Reply of keyword").first.wait_for()
    desk.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    keep(desk, "inbox")


def main() -> None:
    """Write all pictures. The first argument is the portal's address, else http://127.0.0.1:8000."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    TARGET.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        executable = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
        browser = playwright.chromium.launch(executable_path=executable, args=OPTIONS)
        show_reseller(log_in(browser, url, "reseller", DESK))
        desk, phone = (log_in(browser, url, "client", size) for size in (DESK, PHONE))
        show_client(desk)
        keep(phone, "phone")
        show_replies(desk, phone)
        browser.close()


if __name__ == "__main__":
    main()
