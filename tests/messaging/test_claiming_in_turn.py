"""Connectors claim in the order in which messages were released, so a large old batch overtakes nobody for ever."""

from django.db import connection

from messaging.connectors import statements
from messaging.models import Message, Route
from messaging.services.dispatching import dispatch_route
from tests.cast import Member, fund
from tests.messaging.test_acceptance import accept, numbers


def claim(route: Route, count: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(statements._CLAIM, {"route": route.pk, "limit": count, "token": "1:0:me", "late": ""})
        return [str(row[2]) for row in cursor.fetchall()]


def test_what_a_batch_of_thousands_releases_later_goes_later(committed_db, client_member: Member, reseller: Member):
    for member in (client_member, reseller):
        fund(member, "1000")
    accept(client_member, numbers(60, first=100))
    route = Route.objects.get(code="test")
    Route.objects.update(throughput=20)  # a stock of ten
    dispatch_route(route.pk)
    few = Message.objects.get(batch=accept(reseller, numbers(1)))
    claimed: list[str] = []
    # The queue's turns release it with the next ones; the ten before it are claimed first, and none after it.
    for _ in range(3):
        claimed += claim(route, 5)
        dispatch_route(route.pk)
    assert str(few.pk) in claimed + claim(route, 5), "the stock fills up with older messages before it"
