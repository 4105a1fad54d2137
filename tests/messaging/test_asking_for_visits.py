"""When connectors have their route visited again (messaging/connectors/process.py)."""

import pytest

from messaging.connectors import process
from messaging.connectors.process import ConnectorProcess
from messaging.services.dispatching import AT_ONCE, MORE
from messaging.wakeups import DISPATCH
from tests.loops import run_scenario


def test_visits_are_asked_for_until_one_has_left_nothing_waiting(monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        connectors, given = ConnectorProcess(), list[tuple[object, ...]]()
        monkeypatch.setattr(connectors._hints, "give", lambda *hint: given.append(hint))
        asks: dict[str, bool] = {}
        for notice in ("", f"7{AT_ONCE}", "7", "8", f"7{AT_ONCE}", f"7{MORE}", f"7{AT_ONCE}", "7"):
            if notice:
                connectors._wake(notice)
            given.clear()
            connectors._ask_for_visit(7)
            asks[f"{len(asks)} {notice}"] = given == [(DISPATCH, 7)]
        # Of what was released as it was accepted nothing follows for what waits.
        assert asks == {
            "0 ": True, "1 7=": True, "2 7": False, "3 8": False,
            "4 7=": False, "5 7+": True, "6 7=": True, "7 7": False,
        }  # fmt: skip

        async def broken(_: str) -> None:
            raise ConnectionError

        monkeypatch.setattr(process, "connect", broken)
        with pytest.raises(ConnectionError):
            await connectors._listen()
        given.clear()
        connectors._ask_for_visit(7)
        assert given == [(DISPATCH, 7)], "nobody knows what was told while nobody listened"

    run_scenario(scenario())
