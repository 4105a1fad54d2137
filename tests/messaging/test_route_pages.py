"""Staff's pages about routes: how they do now and did, what is done to them, and what they earn."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, User
from messaging.models import ConnectorStatus, Message, Receipt, Route, RouteCost, RouteMinute, SmppConnector
from messaging.services.failover import reroute_exhausted
from messaging.services.route_health import KEPT_DAYS, sample_routes
from messaging.services.routing import set_rule
from smpp.simulator import Simulator
from tests.billing.services import balance_of
from tests.cast import PASSWORD, LogIn, Member
from tests.messaging.carrier import connect_route, connectors, in_thread, play, work_until
from tests.messaging.rows import AU, AU_DEAR, NZ, accept, settle_as, words

D = Decimal


@pytest.fixture
def route(client_member: Member) -> Route:
    return Route.objects.get(code="test")


@pytest.fixture
def staff(client_member: Member, log_in: LogIn) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))


def page_of(route: Route) -> str:
    return reverse("admin:messaging_route_health_of", args=[route.pk])


def test_the_page_tells_how_a_route_does(staff: Client, route: Route, client_member: Member):
    SmppConnector.objects.create(route=route, host="h", system_id="s", binds=2, window=40)
    now = timezone.now()
    for bind, state in enumerate(("bound", "down")):
        ConnectorStatus.objects.create(route=route, bind=bind, state=state, since=now, seen_at=now, in_hand=7)
    minute = now.replace(second=0, microsecond=0)
    RouteMinute.objects.create(
        route=route, minute=minute, sent=75, refused=20, later=4, lost=1, receipt_seconds=2.5
    )  # fmt: skip
    accept(client_member, [AU, NZ])
    text = words(staff.get(page_of(route)).content.decode())
    for figure in ("Up", "1 of 2", "14 of 80", "25.0 %", "2.5 s", "Queue 2"):
        assert figure in text, figure
    assert "Test carrier Up" in words(staff.get(reverse("admin:messaging_route_health")).content.decode())
    Message.objects.filter(recipient=AU).update(state="unknown", sending_at=now)
    page = staff.get(page_of(route)).content.decode()
    assert "1 message unknown : nobody heard the carrier&#x27;s answer." in words(page).replace("'", "&#x27;")
    found = staff.get(re.findall(r'href="([^"]+route__id__exact[^"]+)"', page)[0])
    assert [one.recipient for one in found.context["cl"].result_list] == [AU]
    ConnectorStatus.objects.update(seen_at=now - timedelta(minutes=1))
    assert "Test carrier Down" in words(staff.get(page_of(route)).content.decode())


def test_staff_pause_resume_and_drain_and_each_deed_is_in_the_audit_trail(staff: Client, route: Route):
    for deed in ("pause", "pause", "resume", "drain", "undrain"):
        assert staff.post(page_of(route), {"do": deed}).status_code == 302
        route.refresh_from_db()
        assert (route.is_paused, route.is_draining) == (deed == "pause", deed == "drain")
    rows = AuditEntry.objects.filter(action__startswith="route.").order_by("pk").values_list("action", "subject")
    assert list(rows) == [(f"route.{done}", "test") for done in ("paused", "resumed", "drained", "undrained")]


def test_who_may_only_look_changes_nothing(route: Route, log_in: LogIn):
    looker = User.objects.create_user("looker", "looker@test.example", PASSWORD, name="Looker", is_staff=True)
    assert log_in(looker).get(page_of(route)).status_code == 403
    looker.user_permissions.add(Permission.objects.get(codename="view_route"))
    browser = log_in(looker)
    page = browser.get(page_of(route))
    assert (page.status_code, b"Pause" in page.content) == (200, False)
    assert browser.post(page_of(route), {"do": "pause"}).status_code == 403
    route.refresh_from_db()
    assert not route.is_paused


def test_a_test_message_takes_the_route_that_is_tested_and_no_other(staff: Client, client_member: Member, route: Route):
    other = Route.objects.create(code="other", name="Other")
    RouteCost.objects.create(route=other, prefix="61", currency="AUD", amount=D("0.01"))
    values = {"account": client_member.account.code, "sender": "Test", "recipient": "0412 345 678", "text": "Hello"}
    assert "There is no account NOBODY" in staff.post(page_of(other), values | {"account": "nobody"}).content.decode()
    assert "12 cannot be sent to" in staff.post(page_of(other), values | {"recipient": "12"}).content.decode()
    assert Message.objects.count() == 0
    page = staff.post(page_of(other), values, follow=True).content.decode()
    message = Message.objects.get()
    assert f"batch {message.batch.code}. It waits: the route has no connector. See what becomes of it" in words(page)
    assert reverse("admin:messaging_message_change", args=[message.pk]) in page
    assert "Routes chevron_right Health of Other" in words(page)
    assert (message.route, message.cost, message.price, message.recipient) == (other, D("0.01"), D("0.07"), AU)
    assert balance_of(client_member.account).held == D("0.07")
    Message.objects.update(state="scheduled", attempts=99, not_before=timezone.now() - timedelta(minutes=9))
    assert reroute_exhausted().failed == 1
    assert AuditEntry.objects.filter(action="route.tested", subject="other").count() == 1


def test_every_minute_is_counted_by_connectors_and_sampled_by_a_task(committed_db, client_member: Member, route: Route):
    async def scenario(carrier: Simulator) -> None:
        await in_thread(connect_route, carrier.port)
        await in_thread(accept, client_member, ["+61412340001", "+61412341234", "+61412341235"])
        async with connectors():
            await work_until(lambda: counted() == (2, 1))

    def counted() -> tuple[int, int]:
        rows = list(RouteMinute.objects.values_list("sent", "refused"))
        return sum(sent for sent, _ in rows), sum(refused for _, refused in rows)

    play(scenario)
    RouteMinute.objects.create(route=route, minute=timezone.now() - timedelta(days=KEPT_DAYS, minutes=1))
    accept(client_member, [AU])
    sent = Message.objects.filter(sent_at__isnull=False)[0]
    Receipt.objects.create(route=route, carrier_id="x", status="DELIVRD", message=sent, applied_at=timezone.now())
    assert sample_routes() == 1
    newest = RouteMinute.objects.latest("minute")
    assert newest.queued == 1
    assert newest.receipt_seconds is not None
    assert not RouteMinute.objects.filter(minute__lt=timezone.now() - timedelta(days=KEPT_DAYS)).exists()


def test_the_report_shows_profit_and_what_was_sold_below_cost(staff: Client, client_member: Member, route: Route):
    # The platform gets 0.05 and 0.08 for a part; New Zealand's cost is not known.
    for prefix, cost in (("61", "0.06"), ("614915", "0.02")):
        RouteCost.objects.create(route=route, prefix=prefix, currency="AUD", amount=D(cost))
    set_rule(prefix="", routes=[route])
    settle_as(accept(client_member, [AU, AU_DEAR, NZ], text="x" * 200), "delivered")
    page = staff.get(reverse("admin:messaging_route_profit"))
    lines = {line.country: line for line in page.context["lines"]}
    australia = lines["AU"]
    assert (australia.messages, australia.parts, australia.income, australia.cost) == (2, 4, D("0.26"), D("0.16"))
    assert (australia.profit, australia.below_cost, australia.without_cost) == (D("0.10"), 1, 0)
    (total,) = page.context["totals"]
    assert (total.messages, total.income, total.cost, total.profit) == (3, D("0.284690"), D("0.16"), D("0.10"))
    assert "Messages below cost 1 of 3" in words(page.content.decode())
    assert (lines["NZ"].income, lines["NZ"].cost, lines["NZ"].without_cost) == (D("0.024690"), None, 1)
    below = staff.get(reverse("admin:messaging_route_profit"), {"below": "1", "first": "no day"})
    assert [line.country for line in below.context["lines"]] == ["AU"]


def test_the_graph_has_a_value_for_every_minute(staff: Client, route: Route):
    RouteMinute.objects.create(route=route, minute=timezone.now().replace(second=0, microsecond=0), sent=5, queued=2)
    series = staff.get(page_of(route)).context["series"]
    assert {len(values) for values in series.values()} == {360}
    assert (series["sent"][-1], series["queued"][-1], series["queued"][0]) == (5, 2, None)
