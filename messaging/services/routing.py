"""Which route a message takes: the account's plan, its rule for the number, and what each route costs.

Everything a planner needs is read once, with five queries; after that a choice is a look into dictionaries.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from accounts.models import Account
from messaging.models import Route, RouteChoice, RouteCost, RoutePlan, RouteRule, SendingTerms
from messaging.services.route_states import down_routes

Strategy = RouteRule.Strategy
REFUSE = "refuse"  # of settings.BELOW_COST_SENDS; "flag" lets such messages go and shows them to staff


class Choice(NamedTuple):
    """The route a message takes and what its carrier takes for all parts, in the account's currency; None = unknown."""

    route_id: int
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    route_id: int
    percent: int
    unit_cost: Decimal | None


class _Candidates(NamedTuple):
    """The routes for a prefix, the one to take first; by percentage, any."""

    by_percentage: bool
    routes: tuple[_Candidate, ...]


class _Chosen(NamedTuple):
    route_id: int
    percent: int
    is_draining: bool


@dataclass(slots=True)
class _Rule:
    strategy: str
    choices: list[_Chosen]


class RoutePlanner:
    """Chooses routes for one account's messages at one moment.

    ``draw`` returns numbers from 0 to under 1, of which each message of a rule by percentage takes one.
    """

    def __init__(self, account: Account, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._refuses = settings.BELOW_COST_SENDS == REFUSE
        self._known: dict[str, _Candidates | None] = {}
        self._rules = _load_rules(plan_of(account))
        routes = {choice.route_id for rule in self._rules.values() for choice in rule.choices}
        self.routes = frozenset(routes)  # all that the plan has
        self._costs = _load_costs(routes, account.currency)
        self.down = frozenset(down_routes())  # at that moment
        lengths = {len(prefix) for prefix in self._rules}
        self._rule_lengths = sorted(lengths, reverse=True)
        self._look_at = max(lengths | {len(prefix) for costs in self._costs.values() for prefix in costs}, default=0)

    def choose(
        self, number: str, parts: int, income: Decimal | None = None, without: Collection[int] = ()
    ) -> Choice | None:
        """The route of a message of ``parts`` parts to an E.164 number; None when no route takes it.

        ``income`` is what the platform gets for one part: where BELOW_COST_SENDS refuses, routes known to cost more
        are passed over. ``without`` are routes that have been tried. Routes that drain take nothing; those that are
        down come after those that are not.
        """
        candidates = self._candidates(number)
        if candidates is None:
            return None
        routes = [one for one in candidates.routes if one.route_id not in without and self._pays(one, income)]
        if not routes:
            return None
        chosen = self._drawn(routes) if candidates.by_percentage and len(routes) > 1 else routes[0]
        return Choice(chosen.route_id, None if chosen.unit_cost is None else chosen.unit_cost * parts)

    def routes_for(self, number: str) -> list[int]:
        """All routes that may take the number, in the order in which they would be tried."""
        candidates = self._candidates(number)
        return [one.route_id for one in candidates.routes] if candidates else []

    def _pays(self, candidate: _Candidate, income: Decimal | None) -> bool:
        if not self._refuses or income is None or candidate.unit_cost is None:
            return True
        return candidate.unit_cost <= income

    def _drawn(self, routes: list[_Candidate]) -> _Candidate:
        """One by its percentage among those that are up, or among all when none is."""
        among = [one for one in routes if one.route_id not in self.down] or routes
        left = self._draw() * sum(one.percent for one in among)
        for one in among:
            left -= one.percent
            if left < 0:
                return one
        return among[-1]

    def _candidates(self, number: str) -> _Candidates | None:
        digits = number[1 : 1 + self._look_at]
        if digits not in self._known:
            self._known[digits] = self._find(digits)
        return self._known[digits]

    def _find(self, digits: str) -> _Candidates | None:
        for length in self._rule_lengths:
            if length <= len(digits) and (rule := self._rules.get(digits[:length])):
                return self._order(rule, digits)
        return None

    def _order(self, rule: "_Rule", digits: str) -> _Candidates:
        routes = [
            _Candidate(one.route_id, one.percent, self._cost_of(one.route_id, digits))
            for one in rule.choices
            if not one.is_draining
        ]
        if rule.strategy == Strategy.LEAST_COST:
            routes.sort(key=lambda one: (one.unit_cost is None, one.unit_cost or Decimal(0)))
        routes.sort(key=lambda one: one.route_id in self.down)
        return _Candidates(rule.strategy == Strategy.PERCENTAGE, tuple(routes))

    def _cost_of(self, route_id: int, digits: str) -> Decimal | None:
        return _longest(self._costs.get(route_id, {}), digits)


def plan_of(account: Account) -> int:
    """The id of the account's route plan: its own, else that of the nearest account above, else the default one."""
    own = dict(
        SendingTerms.objects.filter(account__in=account.path, route_plan__isnull=False).values_list(
            "account_id", "route_plan_id"
        )
    )
    nearest = next((own[key] for key in reversed(account.path) if key in own), None)
    return nearest or RoutePlan.objects.values_list("pk", flat=True).get(is_default=True)


def _load_rules(plan_id: int) -> dict[str, _Rule]:
    """A plan's rules by prefix, each with its choices in their order."""
    rules: dict[str, _Rule] = {}
    rows = RouteChoice.objects.filter(rule__plan=plan_id).order_by("position", "pk")
    for prefix, strategy, route_id, percent, is_draining in rows.values_list(
        "rule__prefix", "rule__strategy", "route_id", "percent", "route__is_draining"
    ):
        choice = _Chosen(route_id, percent or 0, is_draining)
        rules.setdefault(prefix, _Rule(strategy, [])).choices.append(choice)
    return rules


def _load_costs(routes: Iterable[int], currency: str) -> dict[int, dict[str, Decimal]]:
    """Costs of one part by route and prefix."""
    costs: defaultdict[int, dict[str, Decimal]] = defaultdict(dict)
    rows = RouteCost.objects.filter(route__in=list(routes), currency=currency)
    for route_id, prefix, amount in rows.values_list("route_id", "prefix", "amount"):
        costs[route_id][prefix] = amount
    return costs


def cost_over(route: Route, number: str, currency: str) -> Decimal | None:
    """What a route's carrier takes for one part to an E.164 number; None = unknown."""
    return _longest(_load_costs([route.pk], currency).get(route.pk, {}), number[1:])


def _longest(costs: dict[str, Decimal], digits: str) -> Decimal | None:
    return next((costs[digits[:n]] for n in range(len(digits), -1, -1) if digits[:n] in costs), None)


@transaction.atomic
def set_rule(
    *, prefix: str, routes: Iterable[Route], strategy: str = Strategy.PRIORITY, plan: RoutePlan | None = None
) -> RouteRule:
    """Have a plan (None = the default one) send numbers with ``prefix`` over ``routes``, in this order.

    By percentage they share the messages equally.
    """
    among = list(routes)
    plan = plan or RoutePlan.objects.get(is_default=True)
    rule, _ = RouteRule.objects.update_or_create(plan=plan, prefix=prefix, defaults={"strategy": strategy})
    rule.choices.all().delete()
    share = max(1, 100 // len(among)) if strategy == Strategy.PERCENTAGE else None
    RouteChoice.objects.bulk_create(
        RouteChoice(rule=rule, route=route, position=number, percent=share) for number, route in enumerate(among, 1)
    )
    return rule


@transaction.atomic
def make_default(plan: RoutePlan) -> None:
    """Let this be the plan of accounts without one."""
    RoutePlan.objects.filter(is_default=True).exclude(pk=plan.pk).update(is_default=False)
    RoutePlan.objects.filter(pk=plan.pk).update(is_default=True)
