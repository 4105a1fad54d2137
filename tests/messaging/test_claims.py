"""When a bind claims again (messaging/connectors/bind.py)."""

import asyncio

import pytest

from messaging.connectors.bind import REST_SECONDS, Bind
from messaging.connectors.configuration import BindConfig
from smpp.client import ClientConfig
from tests.loops import run_scenario


@pytest.mark.parametrize(("claimed", "is_rested"), [(1, True), (50, False), (100, False), (0, False)])
def test_only_after_a_claim_of_a_few_is_waited_for_more(
    claimed: int, is_rested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep, rests = asyncio.sleep, list[float]()

    async def sleep_shortly(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    async def scenario() -> int:
        line = ClientConfig(host="127.0.0.1", port=1, system_id="relay", password="", window=100)
        bind = Bind(
            BindConfig(0, 1, "test", line), on_claimed=lambda _: None, on_ended=lambda: None, on_refused=lambda: None,
            on_receipts=lambda: None, on_inbound=lambda: None,
        )  # fmt: skip
        bind.hand.pacer.lease(1_000)
        claims = 0

        async def claim(room: int) -> int:
            nonlocal claims
            assert room == 100
            claims += 1
            bind.hand.wake.set()  # more has come meanwhile
            if claims == 3:
                bind._leave.set()
            await sleep(0)
            return claimed

        monkeypatch.setattr(bind, "_claim", claim)
        monkeypatch.setattr(asyncio, "sleep", sleep_shortly)
        await bind._claim_all()
        return claims

    assert run_scenario(scenario()) == 3
    assert set(rests) == ({REST_SECONDS} if is_rested else set())
