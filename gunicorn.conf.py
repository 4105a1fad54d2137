"""The web process, in `make run` and in a container alike (gunicorn reads this file from the working directory)."""

import os
from typing import Any

bind = f"{os.environ.get('BIND', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
preload_app = True  # the code is loaded once and shared by the workers
timeout = 60  # seconds without a sign of life until a worker is replaced
graceful_timeout = 25  # seconds that running requests get when the process is asked to end; it is killed after 30
loglevel = "warning"  # requests are logged by django-structlog, with user and duration


def when_ready(server: Any) -> None:
    """The code is loaded: workers, which are forked from here, need not look through it for garbage.

    What Stripe is asked with is loaded late elsewhere; here the first visitor who pays would wait for it.
    """
    from accounts.garbage import spare_collections
    from billing.gateways.stripe import load_library

    load_library()
    spare_collections()
