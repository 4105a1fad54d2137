"""Plans of routes: whose plan, which route, at what cost (messaging/services/routing.py)."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from messaging.models import Exclusion, Route, RouteCost, RoutePlan, RouteRule, SendingTerms
from messaging.services.routing import Choice, RoutePlanner, make_default, set_rule
from tests.cast import Member, check_now
from tests.messaging.rows import AU, AU_DEAR, NZ, accept

Strategy = RouteRule.Strategy


def route(code: str, **costs: str) -> Route:
    """A route with costs in AUD by prefix (``p61="0.02"``; ``p`` = all others)."""
    made = Route.objects.create(code=code, name=code)
    rows = [
        RouteCost(route=made, prefix=name[1:], currency="AUD", amount=Decimal(cost)) for name, cost in costs.items()
    ]
    RouteCost.objects.bulk_create(rows)
    return made


def test_the_accounts_plan_then_its_parents_then_the_default_one(client_member: Member, reseller: Member, outsider):
    own, above = (RoutePlan.objects.create(name=name) for name in ("Own", "Above"))
    a, b = route("a"), route("b")
    set_rule(prefix="", routes=[a], plan=own)
    set_rule(prefix="", routes=[b], plan=above)
    SendingTerms.objects.create(account=reseller.account, route_plan=above)
    terms = SendingTerms.objects.create(account=client_member.account)
    assert RoutePlanner(client_member.account).choose(AU, 1) == Choice(b.pk, None)
    SendingTerms.objects.filter(pk=terms.pk).update(route_plan=own)
    assert RoutePlanner(client_member.account).choose(AU, 1) == Choice(a.pk, None)
    assert RoutePlanner(outsider.account).choose(AU, 1) == Choice(Route.objects.get(code="test").pk, None)


def test_the_longest_prefix_wins_for_rules_and_for_costs(client_member: Member):
    a = route("a", p="0.09", p61="0.02", p614915="0.031")
    set_rule(prefix="61", routes=[a])
    planner = RoutePlanner(client_member.account)
    assert planner.choose(AU, 3) == Choice(a.pk, Decimal("0.06"))
    assert planner.choose(AU_DEAR, 1) == Choice(a.pk, Decimal("0.031"))
    assert planner.choose(NZ, 1) == Choice(Route.objects.get(code="test").pk, None)


def test_least_cost_takes_the_cheapest_that_is_known_and_what_drains_takes_nothing(client_member: Member):
    unknown, dear, cheap = route("unknown"), route("dear", p="0.04"), route("cheap", p="0.05", p61="0.01")
    set_rule(prefix="", routes=[unknown, dear, cheap], strategy=Strategy.LEAST_COST)
    planner = RoutePlanner(client_member.account)
    assert planner.choose(AU, 1) == Choice(cheap.pk, Decimal("0.01"))
    assert planner.choose(NZ, 1) == Choice(dear.pk, Decimal("0.04"))
    assert planner.routes_for(AU) == [cheap.pk, dear.pk, unknown.pk]
    assert planner.choose(AU, 1, without=[cheap.pk, dear.pk]) == Choice(unknown.pk, None)
    Route.objects.filter(pk__in=[cheap.pk, dear.pk]).update(is_draining=True)
    assert RoutePlanner(client_member.account).choose(AU, 1) == Choice(unknown.pk, None)
    Route.objects.update(is_draining=True)
    assert RoutePlanner(client_member.account).choose(AU, 1) is None


def test_percentages_are_drawn_for_each_message(client_member: Member):
    a, b = route("a"), route("b")
    rule = set_rule(prefix="", routes=[a, b], strategy=Strategy.PERCENTAGE)
    for one, percent in ((a, 70), (b, 30)):
        rule.choices.filter(route=one).update(percent=percent)
    draws = iter([0.0, 0.69, 0.71, 0.999])
    planner = RoutePlanner(client_member.account, draw=lambda: next(draws))
    chosen = [choice.route_id for _ in range(4) if (choice := planner.choose(AU, 1))]
    assert chosen == [a.pk, a.pk, b.pk, b.pk]
    assert planner.choose(AU, 1, without=[a.pk]) == Choice(b.pk, None)


def test_acceptance_writes_the_cost_of_all_parts_and_lets_what_is_below_it_go(client_member: Member):
    a = route("a", p61="0.06")  # the platform gets 0.05
    set_rule(prefix="61", routes=[a])
    batch = accept(client_member, [AU, NZ], text="x" * 200)
    found = {number: (route_id, cost) for number, route_id, cost in batch.messages.values_list(
        "recipient", "route_id", "cost")}  # fmt: skip
    assert found == {AU: (a.pk, Decimal("0.12")), NZ: (Route.objects.get(code="test").pk, None)}


def test_below_cost_is_refused_where_the_setting_says_so_and_no_cost_is_told(client_member: Member, settings):
    settings.BELOW_COST_SENDS = "refuse"
    dear, even = route("dear", p="0.050001"), route("even", p614915="0.08", p="0.051")
    set_rule(prefix="61", routes=[dear, even])
    batch = accept(client_member, [AU, AU_DEAR, NZ])
    assert dict(batch.messages.values_list("recipient", "route__code")) == {AU_DEAR: "dear", NZ: "test"}
    row = Exclusion.objects.get()
    assert (row.value, row.reason, row.detail) == (AU, "no_route", "No carrier takes this destination yet.")

    RouteCost.objects.filter(route=dear).update(amount=Decimal("0.09"))
    assert accept(client_member, [AU_DEAR]).messages.get().route == even
    RouteCost.objects.filter(route=even).update(amount=Decimal("0.05"))
    assert accept(client_member, [AU]).messages.get().cost == Decimal("0.05")


def test_costs_of_another_currency_are_not_known(client_member: Member):
    a = route("a")
    RouteCost.objects.create(route=a, currency="EUR", amount=Decimal(1))
    set_rule(prefix="", routes=[a])
    assert RoutePlanner(client_member.account).choose(AU, 1) == Choice(a.pk, None)


def test_there_is_always_one_default_plan(db):
    second = RoutePlan.objects.create(name="Second")
    make_default(second)
    check_now()
    assert RoutePlan.objects.get(is_default=True) == second
    with pytest.raises(IntegrityError, match="one_default_plan"), transaction.atomic():
        RoutePlan.objects.update(is_default=True)
    for deed in (lambda: RoutePlan.objects.update(is_default=False), second.delete):
        with pytest.raises(IntegrityError, match="one route plan has to be the default"), transaction.atomic():  # noqa: PT012
            deed()
            check_now()


def test_planning_thousands_asks_the_database_a_few_times(client_member: Member, django_assert_num_queries):
    set_rule(prefix="61", routes=[route("a", p="0.01")])
    with django_assert_num_queries(4):  # and a prepared one
        planner = RoutePlanner(client_member.account)
        for number in range(2000):
            planner.choose(f"+614{number:08}", 1)
