"""A test message over exactly one route, whatever the plans say. An account of the operator pays for it as for any."""

from functools import partial

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from messaging.models import Batch, Message, MessageClass, Route
from messaging.services.acceptance import accept_batch
from messaging.services.routing import cost_over
from messaging.wakeups import DISPATCH, wake


@transaction.atomic
def send_test(*, route: Route, account: Account, sender: str, recipient: str, text: str, actor: User) -> Message:
    """Accept one message of the account and tie it to the route: no failover takes it elsewhere.

    Raises SendingError as accept_batch does.
    """
    batch = accept_batch(
        account=account, actor=actor, door=Batch.Door.WEB, sender=sender, text=text, recipients=[recipient],
        message_class=MessageClass.TRANSACTIONAL,
    )  # fmt: skip
    message = Message.objects.get(batch=batch, pk__gte=batch.pk)
    others = list(Route.objects.exclude(pk=route.pk).order_by("pk").values_list("pk", flat=True))
    cost = cost_over(route, message.recipient, account.currency)
    Message.objects.filter(pk=message.pk).update(
        route=route, tried_routes=others, cost=None if cost is None else cost * message.parts
    )
    audit.record(account=account, actor=actor, action="route.tested", subject=route.code, batch=batch.code)
    transaction.on_commit(partial(wake, DISPATCH, route.pk))
    return message
