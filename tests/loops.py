"""Running coroutines in tests."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections


def run_scenario(scenario: Coroutine[Any, Any, Any]) -> Any:
    """As asyncio.run, in a thread of its own: once a browser test ran, Playwright's loop holds the main thread."""

    def work() -> Any:
        try:
            return asyncio.run(scenario)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(work).result()
