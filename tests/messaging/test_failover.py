"""Messages leave routes that cannot take them, and are tried no more often than their plan says."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from messaging.models import ConnectorStatus, Message, Route, RouteCost, SmppConnector
from messaging.services.failover import Rerouted, reroute_exhausted, reroute_stranded, reroute_waiting
from messaging.services.routing import set_rule
from messaging.services.scheduling import queue_due
from messaging.services.settling import settle_waiting
from messaging.timeline import timeline_of
from smpp.simulator import Simulator
from tests.billing.services import balance_of
from tests.cast import Member
from tests.messaging.carrier import connectors, in_thread, play, states, work_until
from tests.messaging.rows import AU, AU_DEAR, NZ, accept

D = Decimal


@pytest.fixture
def second(client_member: Member) -> Route:
    """The plan's other route: 0.01 a part; the first one is the cast's."""
    route = Route.objects.create(code="second", name="Second", throughput=500, max_attempts=3)
    RouteCost.objects.create(route=route, currency="AUD", amount=D("0.01"))
    set_rule(prefix="", routes=[Route.objects.get(code="test"), route])
    return route


def tell(route: Route, state: str = "bound", *, silent_for: float = 0, slow_for: float | None = None) -> None:
    """What a connector process said of the route's bind: last bound, and throttled, so many seconds ago."""
    now = timezone.now()
    ConnectorStatus.objects.update_or_create(
        route=route, bind=0,
        defaults={
            "state": state, "since": now, "seen_at": now, "bound_at": now - timedelta(seconds=silent_for),
            "slowed_since": None if slow_for is None else now - timedelta(seconds=slow_for),
        },
    )  # fmt: skip


def where() -> dict[str, tuple[str, str]]:
    """Route and state by recipient."""
    rows = Message.objects.values_list("recipient", "route__code", "state")
    return {number: (code, state) for number, code, state in rows}


def test_what_its_route_refused_too_often_takes_the_next_one_and_at_last_fails(client_member: Member, second: Route):
    first = Route.objects.get(code="test")
    batch = accept(client_member, [AU], text="x" * 200)
    before = timezone.now() - timedelta(minutes=5)
    refused = {"state": "scheduled", "not_before": before, "error_code": "X", "reason": "It was too busy."}
    Message.objects.update(attempts=11, **refused)
    assert reroute_exhausted() == Rerouted(0, 0)  # one try is left here
    Message.objects.update(attempts=12)
    assert queue_due().count == 0
    assert reroute_exhausted() == Rerouted(1, 0)
    one = Message.objects.get()
    assert (one.route, one.state, one.attempts, one.tried_routes, one.cost, one.reason) == (
        second, "queued", 0, [first.pk], D("0.02"), ""
    )  # fmt: skip

    Message.objects.update(attempts=3, **refused)
    assert reroute_waiting() == Rerouted(0, 1)
    one.refresh_from_db()
    assert (one.state, one.route, one.error_code, one.reason) == (
        "failed", second, "X", "It was too busy. Tried 3 times. No other way is left."
    )  # fmt: skip
    settle_waiting(100)
    assert (balance_of(client_member.account).held, balance_of(client_member.account).available) == (D(0), D(10))
    assert batch.messages.get().settled_at is not None


def test_what_waits_on_a_route_that_is_down_goes_to_one_that_is_up(client_member: Member, second: Route, settings):
    first = Route.objects.get(code="test")
    numbers = [f"+6141234{ending}" for ending in range(1000, 1004)]
    accept(client_member, numbers)
    for number, state in zip(numbers, ("queued", "released", "sending", "unknown"), strict=True):
        Message.objects.filter(recipient=number).update(state=state)
    tell(first, "down", silent_for=settings.FAILOVER_SECONDS + 1)
    assert reroute_stranded() == 0  # nobody says that another is up
    tell(second, "bound")
    assert reroute_stranded() == 2
    assert [where()[number] for number in numbers] == [
        ("second", "queued"), ("second", "queued"), ("test", "sending"), ("test", "unknown"),
    ]  # fmt: skip
    tell(first)
    tell(second, "down", silent_for=settings.FAILOVER_SECONDS + 1)
    assert reroute_stranded() == 0  # the first one has had them
    assert accept(client_member, [AU]).messages.get().route == first


def test_a_route_that_is_down_for_a_moment_keeps_what_waits(client_member: Member, second: Route, settings):
    accept(client_member, [AU])
    tell(Route.objects.get(code="test"), "down", silent_for=settings.FAILOVER_SECONDS - 5)
    tell(second)
    assert reroute_stranded() == 0
    tell(Route.objects.get(code="test"), slow_for=settings.FAILOVER_SECONDS - 5)
    assert reroute_stranded() == 0
    tell(Route.objects.get(code="test"), slow_for=settings.FAILOVER_SECONDS + 1)
    assert reroute_stranded() == 1


def test_a_draining_route_gives_up_its_queue_and_keeps_its_stock(client_member: Member, second: Route):
    set_rule(prefix="64", routes=[Route.objects.get(code="test")])
    accept(client_member, [AU, AU_DEAR, NZ])
    Message.objects.filter(recipient=AU_DEAR).update(state="released")
    tell(Route.objects.get(code="test"))
    tell(second)
    Route.objects.filter(code="test").update(is_draining=True)
    assert reroute_stranded() == 1
    assert where() == {AU: ("second", "queued"), AU_DEAR: ("test", "released"), NZ: ("test", "queued")}
    Route.objects.filter(code="second").update(is_paused=True)
    Message.objects.filter(recipient=AU_DEAR).update(state="queued")
    assert reroute_stranded() == 0


class Counting(Simulator):
    """A carrier that counts the submits to each number."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.submits: Counter[str] = Counter()

    def _refusal(self, system_id, submit, behaviour):
        self.submits[submit.destination[-4:]] += 1
        return super()._refusal(system_id, submit, behaviour)


def test_no_message_is_tried_more_often_than_the_plan_says(committed_db, client_member: Member, second: Route):
    # 0006 is refused twice for now by each carrier, 0001 for good.
    Route.objects.filter(code="test").update(max_attempts=2)

    async def scenario(one: Counting) -> None:
        other = Counting()
        async with other:
            await in_thread(connect, {"test": one.port, "second": other.port})
            await in_thread(accept, client_member, ["+61412340006", "+61412340001", "+61412341234"])
            async with connectors():
                await work_until(lambda: rerouted_until_done({"0006": "delivered", "0001": "rejected"}))
            counts = dict(one.submits), dict(other.submits)
        assert counts == ({"0006": 2, "0001": 1, "1234": 1}, {"0006": 3})

    play(scenario, carrier=Counting)
    message = Message.objects.get(recipient="+61412340006")
    assert (message.route, message.tried_routes, message.attempts, message.cost) == (
        second, [Route.objects.get(code="test").pk], 3, D("0.01")
    )  # fmt: skip
    assert balance_of(client_member.account).held == D(0)


def connect(ports: dict[str, int]) -> None:
    for code, port in ports.items():
        SmppConnector.objects.create(
            route=Route.objects.get(code=code), host="127.0.0.1", port=port, system_id="relay", password="simulator"
        )


def rerouted_until_done(wanted: dict[str, str]) -> bool:
    queue_due()
    reroute_waiting()
    found = states()
    done = not Message.objects.filter(settled_at=None).exists()
    return done and all(found[ending] == state for ending, state in wanted.items())


def test_the_routes_of_a_message_are_told_to_staff_alone(client_member: Member, second: Route):
    accept(client_member, [AU])
    Message.objects.update(sending_at=timezone.now(), route=second, tried_routes=[Route.objects.get(code="test").pk])
    message = Message.objects.get()
    told = [event.detail for event in timeline_of(message, shows_money=False, shows_routes=True)]
    assert "Over Second, after Test carrier" in told
    assert not any("Second" in event.detail for event in timeline_of(message, shows_money=True))
