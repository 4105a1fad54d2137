"""Finding the demo's people, and being one of them in a browser."""

from typing import Any

from playwright.sync_api import Page

from accounts.models import Account, Membership

PASSWORD = "Demo-pass-2026"
# E-mail -> the cookies of a session in the running portal of this test process.
_sessions: dict[str, list[Any]] = {}


def account_of(login: str) -> Account:
    """The account whose owner logs in as ``<login>@demo.example``."""
    return Membership.objects.select_related("account").get(user__email=f"{login}@demo.example").account


def log_in(page: Page, login: str = "reseller") -> None:
    """Be logged in as ``login`` (its ``@demo.example`` may be left out), on the page that follows.

    Everybody goes through the form once. Checking a password takes most of a second, on purpose, so whoever comes again
    takes the session over that the first one began, unless it has ended meanwhile.
    """
    email = login if "@" in login else f"{login}@demo.example"
    page.context.add_cookies(_sessions.get(email, []))
    page.goto("/")
    if "/login/" in page.url:
        page.get_by_label("E-mail or login name").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/login/" not in url)
        _sessions[email] = [cookie for cookie in page.context.cookies() if cookie["name"] in ("sessionid", "csrftoken")]
