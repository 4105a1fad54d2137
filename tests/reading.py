"""Reading pages as people do."""

import re
from html import unescape

from django.test import Client


def text_of(html: str) -> str:
    """What a reader sees, scripts' data included, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def dashboard_of(browser: Client) -> str:
    """The dashboard's HTML."""
    answer = browser.get("/")
    assert answer.status_code == 200
    return answer.content.decode()
