"""Staff's forms of routes, their costs and their connectors: what they refuse, and in which words."""

import html
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import localize

from accounts.models import User
from messaging.models import (
    ConnectorStatus,
    HttpConnector,
    Receipt,
    Route,
    RouteCost,
    RoutePlan,
    RouteRule,
    SendingTerms,
    SmppConnector,
)
from tests.cast import PASSWORD, LogIn, Member
from tests.messaging.rows import words

ADD_ROUTE = {
    "code": "new", "name": "New", "throughput": "20", "max_attempts": "12", "costs-INITIAL_FORMS": "0",
    "costs-TOTAL_FORMS": "1", "costs-0-prefix": "61", "costs-0-currency": "AUD", "costs-0-amount": "0.03",
    "smpp_connector-INITIAL_FORMS": "0", "smpp_connector-TOTAL_FORMS": "1",
    "statuses-INITIAL_FORMS": "0", "statuses-TOTAL_FORMS": "0",
}  # fmt: skip
SMPP = {
    "host": "h", "port": "2775", "system_id": "s", "binds": "1", "window": "50", "enquire_link_seconds": "15",
    "receipt_id_format": "as_is", "is_enabled": "on",
}  # fmt: skip


@pytest.fixture
def route(client_member: Member) -> Route:
    return Route.objects.get(code="test")


@pytest.fixture
def staff(client_member: Member, log_in: LogIn) -> Client:
    return log_in(User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff"))


def inline(connector: dict[str, str]) -> dict[str, str]:
    """A connector's fields as they are called on its route's page."""
    return {f"smpp_connector-0-{name}": value for name, value in connector.items()}


def test_what_is_wrong_with_a_route_is_said_at_its_field(staff: Client):
    wrong = {"code": "one two", "throughput": "0", "max_attempts": "0"}
    wrong |= {"costs-0-prefix": "+61", "costs-0-currency": "aud", "costs-0-amount": "-1"}
    wrong |= inline(SMPP | {"port": "70000", "binds": "0"})
    page = staff.post(reverse("admin:messaging_route_add"), ADD_ROUTE | wrong)
    told = words(page.content.decode())
    for sentence in (
        "A code has letters, digits, - and _ only", "0 a second would send nothing", "0 is too few; at least 1.",
        "+61 is no prefix: digits only", "aud is no currency: three capital letters", "A cost is 0 or more, not -1",
        "70000 is no port",
    ):  # fmt: skip
        assert sentence in told
    form = page.context["adminform"].form
    assert set(form.errors) == {"code", "throughput", "max_attempts"}
    assert not Route.objects.filter(name="New").exists()


def test_a_route_has_one_connector_of_either_kind(staff: Client, route: Route):
    http = {"route": route.pk, "preset": "custom", "url": "https://c.example/"}
    SmppConnector.objects.create(route=route, host="h", system_id="s")
    told = words(staff.post(reverse("admin:messaging_httpconnector_add"), http).content.decode())
    assert "Test carrier has an SMPP connector. A route has one connector" in told
    assert not HttpConnector.objects.exists()

    SmppConnector.objects.all().delete()
    assert staff.post(reverse("admin:messaging_httpconnector_add"), http).status_code == 302
    smpp = SMPP | {"route": route.pk}
    told = words(staff.post(reverse("admin:messaging_smppconnector_add"), smpp).content.decode())
    assert "Test carrier has an HTTP connector. A route has one connector" in told
    values = ADD_ROUTE | inline(SMPP) | {"name": "Test carrier", "costs-TOTAL_FORMS": "0"}
    told = words(staff.post(reverse("admin:messaging_route_change", args=[route.pk]), values).content.decode())
    assert "Test carrier has an HTTP connector. A route has one connector" in told
    assert not SmppConnector.objects.exists()


def test_a_port_reads_as_a_number_of_a_port(staff: Client, route: Route):
    SmppConnector.objects.create(route=route, host="h", port=37143, system_id="s")
    text = words(staff.get(reverse("admin:messaging_smppconnector_changelist")).content.decode())
    assert " 37143 " in text
    assert "SMPP connector" in text


def test_the_list_says_in_a_word_how_each_route_is_and_which_binds_are_missing(staff: Client, route: Route):
    def row() -> str:
        page = staff.get(reverse("admin:messaging_route_changelist")).content.decode()
        return words(page[page.index("result_list") :])

    assert "No connector" in row()
    connector = SmppConnector.objects.create(route=route, host="h", system_id="s", binds=3)
    assert "Down 0 of 3 bound " in row()
    now = timezone.now()
    for bind, (state, detail, age) in enumerate(
        (("bound", "", 0), ("refused", "ESME_RINVPASWD", 0), ("bound", "", 60))
    ):
        ConnectorStatus.objects.create(
            route=route, bind=bind, state=state, detail=detail, since=now, seen_at=now - timedelta(seconds=age)
        )
    assert "Up 1 of 3 bound; 1: Refused ESME_RINVPASWD; 2: Silent " in row()
    gone = {"in_hand": 40, "slowed_since": now, "seen_at": now - timedelta(seconds=60)}  # what they told last
    ConnectorStatus.objects.exclude(bind=0).update(**gone)
    SmppConnector.objects.update(binds=1)
    told = row()
    assert "Up 1 of 1 bound " in told
    assert "Silent" not in told
    page = staff.get(reverse("admin:messaging_route_health_of", args=[route.pk])).content.decode()
    assert "Window 0 of 50" in words(page)
    SmppConnector.objects.update(binds=3)
    Route.objects.filter(pk=route.pk).update(is_paused=True, is_draining=True)
    assert "Paused and draining 1 of 3 bound" in row()
    Route.objects.filter(pk=route.pk).update(is_paused=False)
    assert " Draining 1 of 3" in row()
    connector.is_enabled = False
    connector.save()
    Route.objects.filter(pk=route.pk).update(is_draining=False)
    assert "Switched off " in row()


def test_a_plan_shows_the_routes_of_its_rules_and_leads_to_choosing_them(staff: Client, route: Route):
    plan = RoutePlan.objects.get(is_default=True)
    RouteRule.objects.create(plan=plan, prefix="64")
    page = staff.get(reverse("admin:messaging_routeplan_change", args=[plan.pk])).content.decode()
    for told in ("Test carrier Choose", "None yet, so it counts for nothing. Choose", "Save, then choose its routes."):
        assert told in words(page)
    assert reverse("admin:messaging_routerule_change", args=[plan.rules.get(prefix="64").pk]) in page


def test_rows_are_not_titled_with_what_stands_in_them(staff: Client, route: Route):
    RouteCost.objects.create(route=route, currency="AUD", amount="0.031")
    page = words(staff.get(reverse("admin:messaging_route_change", args=[route.pk])).content.decode())
    assert "0.031000 AUD" not in page


def test_one_hour_of_dispatch_alone_is_refused_in_words(staff: Client, client_member: Member):
    values = {
        "account": client_member.account.pk, "dispatch_from": "08:00", "priority": "0", "weight": "1",
        "waiting_days": "3", "expired_state": "expired",
    }  # fmt: skip
    page = words(staff.post(reverse("admin:messaging_sendingterms_add"), values).content.decode())
    assert "Enter both times, or none: 08:00 stands alone." in page
    assert "is violated" not in page
    assert not SendingTerms.objects.exists()


def test_an_empty_list_says_what_that_means_and_counts_nothing_out(staff: Client, route: Route):
    def listed(model: str, **query: str) -> str:
        return words(staff.get(reverse(f"admin:messaging_{model}_changelist"), query).content.decode())

    page = listed("unknownmessage")
    assert "Nothing is unknown: of every message the carrier's answer was heard." in html.unescape(page)
    assert "Show all" not in page
    page = listed("unknownmessage", q="+61400000000", age="hour")
    assert "No unknown messages fit “+61400000000” and the filters. Show all" in page
    assert "There is nothing here yet. Add HTTP connector" in listed("httpconnector")

    moment = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)
    Receipt.objects.create(route=route, carrier_id="strange", status="DELIVRD", attempts=20, applied_at=moment)
    page = listed("unmatchedreceipt")
    assert " strange " in page
    assert "Show all" not in page
    lost = Receipt.objects.get()
    page = words(staff.get(reverse("admin:messaging_unmatchedreceipt_change", args=[lost.pk])).content.decode())
    assert "Given up 22 Nov 2026, 17:30:00" in page


def test_moments_of_the_admin_are_written_as_everywhere_else():
    assert localize(datetime(2026, 11, 2, 17, 5, tzinfo=UTC)) == "2 Nov 2026, 17:05"
    assert localize(date(2026, 11, 2)) == "2 Nov 2026"


def test_staff_are_warned_of_a_route_that_nobody_runs_when_they_choose_it(staff: Client, route: Route):
    rule = RouteRule.objects.get(plan__is_default=True, prefix="")
    [choice] = rule.choices.all()
    values = {
        "plan": rule.plan_id, "prefix": "", "strategy": "priority", "choices-TOTAL_FORMS": "1",
        "choices-INITIAL_FORMS": "1", "choices-0-id": choice.pk, "choices-0-rule": rule.pk,
        "choices-0-position": "1", "choices-0-route": route.pk,
    }  # fmt: skip
    page = reverse("admin:messaging_routerule_change", args=[rule.pk])
    warning = "Test carrier has no connector that is switched on: messages that it is given wait for one."
    assert warning in words(staff.post(page, values, follow=True).content.decode())
    SmppConnector.objects.create(route=route, host="h", system_id="s")
    assert warning not in words(staff.post(page, values, follow=True).content.decode())
