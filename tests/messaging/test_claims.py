"""When a bind claims again (messaging/connectors/bind.py)."""

import asyncio

import pytest

from messaging.connectors.bind import REST_SECONDS, Bind
from messaging.connectors.configuration import BindConfig
from smpp.client import ClientConfig
from tests.loops import run_scenario


@pytest.mark.parametrize(("claimed", "rests"), [(1, True), (50, False), (100, False), (0, False)])
def test_only_after_a_claim_of_a_few_is_waited_for_more(
    claimed: int, rests: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> list[float]:
        line = ClientConfig(host="127.0.0.1", port=1, system_id="relay", password="", window=100)
        bind = Bind(
            BindConfig(0, 1, "test", line), on_claimed=lambda _: None, on_ended=lambda: None, on_refused=lambda: None,
            on_receipts=lambda: None, on_inbound=lambda: None,
        )  # fmt: skip
        bind.hand.pacer.lease(1_000)
        times: list[float] = []

        async def claim(room: int) -> int:
            assert room == 100
            times.append(asyncio.get_running_loop().time())
            bind.hand.wake.set()  # more has come meanwhile
            if len(times) == 3:
                bind._leave.set()
            await asyncio.sleep(0)
            return claimed

        monkeypatch.setattr(bind, "_claim", claim)
        await bind._claim_all()
        return times

    first, second, third = run_scenario(scenario())
    assert (min(second - first, third - second) >= REST_SECONDS * 0.9) is rests
