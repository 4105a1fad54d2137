"""Threads that come together where a race would be lost, however busy the machine is."""

import threading
from contextlib import suppress
from typing import Any

import pytest

# For canaries, in which no lock is left that keeps anybody away: everybody comes, sooner or later.
SURELY = 30.0


def meet(
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    threads: int = 2,
    *,
    patience: float = 1.0,
    after: bool = False,
) -> None:
    """Let ``threads`` reach ``module.name`` before one of them goes on, or with ``after`` have done it, the first time.

    Whoever a lock keeps away is waited for in vain, for ``patience`` seconds.
    """
    real, barrier, met = getattr(module, name), threading.Barrier(threads), threading.Event()

    def wait() -> None:
        if not met.is_set():
            with suppress(threading.BrokenBarrierError):
                barrier.wait(patience)
            met.set()

    def meeting(*args: Any, **kwargs: Any) -> Any:
        if not after:
            wait()
        result = real(*args, **kwargs)
        if after:
            wait()
        return result

    monkeypatch.setattr(module, name, meeting)
