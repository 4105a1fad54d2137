"""Every URL of the portal with every kind of visitor; a URL that is not listed here fails.

The objects in the paths (batch, message, top-up) are the client's; ``clients`` paths name the client. So the client
owns them, the reseller is its parent, the outsider is another reseller, and staff belongs to no account.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts.models import AuditEntry, User
from billing.models import LedgerEntry, LedgerTransaction, TopUp
from contacts.models import Contact, ContactList, OptOut
from contacts.services.lists import add_to_list
from contacts.services.opt_outs import opt_out
from keywords.models import KeywordTerms
from messaging.models import Batch, Message, Preparation
from tests.billing.services import lease_number, make_number
from tests.cast import PASSWORD, LogIn, Member
from tests.keywords.scene import put_keyword
from tests.messaging.inbound_rows import make_conversation
from tests.messaging.rows import accept
from virtual_numbers.models import VirtualNumber
from virtual_numbers.services.leasing import allocate

LOGIN, ADMIN, HOME, WHOLE = "log-in page", "admin", "dashboard", "the whole page"
VISITORS = ("anonymous", "client", "reseller", "outsider", "staff")
EVERYONE = (200,) * 5
PRIVATE = (LOGIN, 200, 200, 200, ADMIN)  # a page about the visitor's own account
OF_CLIENT = (LOGIN, 200, 200, 404, ADMIN)  # the client's object; its parent may see it
ONLY_CLIENT = (LOGIN, 200, 404, 404, ADMIN)  # the client's object; nobody else may see it
PARENTS = (LOGIN, 404, 200, 200, ADMIN)  # for accounts that may have clients
OF_PARENT = (LOGIN, 404, 200, 404, ADMIN)  # about the client, for its parent
NO_GET = (405,) * 5

# URL name -> the answer to GET for each visitor.
GET = {
    "dashboard": PRIVATE,
    "handset": (404,) * 5,  # no simulator runs here; tests/reseller/test_handset.py
    "handset-screen": (404,) * 5,
    "handset-text": (404,) * 5,
    "health-live": EVERYONE,
    "health-ready": EVERYONE,
    "account_login": (200, HOME, HOME, HOME, HOME),
    "account_logout": (LOGIN, 200, 200, 200, 200),
    "account_inactive": EVERYONE,
    "account_change_password": (LOGIN, 200, 200, 200, ADMIN),
    "account_reset_password": EVERYONE,
    "account_reset_password_done": EVERYONE,
    "account_reset_password_from_key": EVERYONE,
    "account_reset_password_from_key_done": EVERYONE,
    "accounts:settings": PRIVATE,
    "billing:overview": PRIVATE,
    "billing:statement-csv": PRIVATE,
    "billing:statement-xlsx": PRIVATE,
    "billing:statement-pdf": PRIVATE,
    "billing:credits": (LOGIN, 404, 404, 404, ADMIN),  # tests/billing/test_credit_statement.py
    "billing:credits-csv": (LOGIN, 404, 404, 404, ADMIN),
    "billing:credits-xlsx": (LOGIN, 404, 404, 404, ADMIN),
    "billing:credits-pdf": (LOGIN, 404, 404, 404, ADMIN),
    "billing:forecast": PRIVATE,
    "billing:notices": PRIVATE,
    "billing:trial-expired": (LOGIN, HOME, HOME, HOME, ADMIN),  # nobody of the cast is on trial
    "billing:add-credit": (LOGIN, 200, 404, 404, ADMIN),
    "billing:cards": (LOGIN, 200, 404, 404, ADMIN),
    "billing:card-remove": NO_GET,
    "billing:recharge-save": NO_GET,
    "billing:recharge-stop": NO_GET,
    "billing:topup-detail": ONLY_CLIENT,
    "billing:topup-status": (LOGIN, WHOLE, 404, 404, ADMIN),  # a partial: without htmx, the page around it
    "billing:topup-cancel": NO_GET,
    "billing:stripe-webhook": NO_GET,
    "clients:list": PARENTS,
    "clients:add": PARENTS,
    "clients:time-zones": PARENTS,
    "clients:price-preview": PARENTS,
    "clients:defaults": PARENTS,
    "clients:detail": OF_PARENT,
    "clients:edit": OF_PARENT,
    "clients:suspend": OF_PARENT,
    "clients:credits": (LOGIN, 404, 404, 404, ADMIN),  # the client has none; tests/clients/test_credits_page.py
    "clients:margins": OF_PARENT,
    "clients:limits": OF_PARENT,
    "clients:trial": (LOGIN, 404, 404, 404, ADMIN),  # the client is on no trial; tests/clients/test_trial.py
    "clients:reactivate": OF_PARENT,
    "contacts:lists": PRIVATE,
    "contacts:list-add": PRIVATE,
    "contacts:list-detail": ONLY_CLIENT,
    "contacts:list-fill": ONLY_CLIENT,
    "contacts:list-rename": ONLY_CLIENT,
    "contacts:list-delete": ONLY_CLIENT,
    "contacts:member-remove": NO_GET,
    "contacts:everybody": PRIVATE,
    "contacts:contact-detail": ONLY_CLIENT,
    "contacts:contact-edit": ONLY_CLIENT,
    "contacts:contact-delete": ONLY_CLIENT,
    "contacts:opt-outs": PRIVATE,
    "contacts:opt-out-add": PRIVATE,
    "contacts:opt-in": ONLY_CLIENT,
    "messaging:send": PRIVATE,
    "messaging:send-prepared": ONLY_CLIENT,
    "messaging:send-progress": (LOGIN, WHOLE, 404, 404, ADMIN),
    "messaging:batch-list": PRIVATE,
    "messaging:batch-detail": OF_CLIENT,
    "messaging:batch-left-out": OF_CLIENT,
    "messaging:batch-progress": (LOGIN, WHOLE, WHOLE, 404, ADMIN),
    "messaging:batch-cancel": OF_CLIENT,
    "messaging:batch-time": OF_CLIENT,
    "messaging:message-list": PRIVATE,
    "messaging:message-detail": OF_CLIENT,
    "messaging:movement": ONLY_CLIENT,
    "keywords:list": ONLY_CLIENT,  # keywords are switched on for the client alone
    "keywords:add": ONLY_CLIENT,
    "keywords:tester": ONLY_CLIENT,
    "keywords:detail": ONLY_CLIENT,
    "keywords:edit": ONLY_CLIENT,
    "keywords:close": NO_GET,
    "keywords:open": NO_GET,
    "keywords:secret": NO_GET,
    "keywords:end": ONLY_CLIENT,
    "numbers:list": PRIVATE,
    "numbers:offers": PRIVATE,
    "numbers:lease": PRIVATE,
    "numbers:detail": OF_CLIENT,  # leased by the reseller, allocated to the client
    "numbers:label": NO_GET,
    "numbers:settings": NO_GET,
    "numbers:secret": NO_GET,
    "numbers:allocate": OF_PARENT,
    "numbers:take-back": OF_PARENT,
    "numbers:release": OF_PARENT,
    "messaging:inbox": PRIVATE,
    "messaging:inbox-list": (LOGIN, WHOLE, WHOLE, WHOLE, ADMIN),
    "messaging:conversation": ONLY_CLIENT,
    "messaging:conversation-thread": (LOGIN, WHOLE, 404, 404, ADMIN),
    "messaging:conversation-reply": NO_GET,
    "messaging:conversation-read": NO_GET,
    "messaging:conversation-assign": NO_GET,
    "messaging:reports": PRIVATE,
    "messaging:margins": PARENTS,
    "messaging:margins-csv": PARENTS,
    "messaging:margins-xlsx": PARENTS,
    "messaging:message-export": PRIVATE,
    "messaging:client-activity": PARENTS,
    "messaging:client-activity-export": PARENTS,
    "messaging:client-activity-xlsx": PARENTS,
    "messaging:carrier-inbound": NO_GET,
    "messaging:carrier-receipts": (404,) * 5,  # a wrong secret; tests/messaging/test_http_connectors.py
}


def furnish(made: dict[str, Member]) -> dict[str, dict[str, str]]:
    """One of everything that a path names; returns the arguments of each URL that has any."""
    reseller, client_member = made["reseller"], made["client_member"]
    batch = accept(client_member)
    topup = TopUp.objects.create(
        account=client_member.account, amount=Decimal(20), currency="AUD", created_by=client_member.user,
        expires_at=timezone.now() + timedelta(minutes=30),
    )  # fmt: skip
    message = Message.objects.get(batch=batch)
    of_batch, of_client, of_topup = {"code": batch.code}, {"code": client_member.account.code}, {"code": topup.code}
    arguments = {name: of_batch for name in GET if name.startswith("messaging:batch-") and name[-4:] != "list"}
    of_clients = ("detail", "edit", "suspend", "reactivate", "trial", "credits", "margins", "limits")
    arguments |= {f"clients:{name}": of_client for name in of_clients}
    arguments |= {f"billing:topup-{name}": of_topup for name in ("detail", "status", "cancel")}
    held = LedgerTransaction.objects.get(reference=batch.code)
    arguments["messaging:movement"] = {"public_id": str(held.public_id)}
    arguments["billing:card-remove"] = {"code": "NOSUCHCARD"}
    arguments |= contacts_arguments(client_member) | numbers_arguments(reseller, client_member)
    arguments |= keywords_arguments(client_member)
    prepared = Preparation.objects.create(account=client_member.account, created_by=client_member.user)
    arguments |= {f"messaging:send-{page}": {"code": prepared.code} for page in ("prepared", "progress")}
    arguments["messaging:message-detail"] = {"key": str(message.pk)}
    chat = {"code": make_conversation(client_member).code}
    arguments |= {name: chat for name in GET if name.startswith("messaging:conversation")}
    arguments["account_reset_password_from_key"] = {"uidb36": "1", "key": "wrong-key"}
    arguments |= {f"messaging:carrier-{name}": {"code": "test", "secret": "wrong"} for name in ("inbound", "receipts")}
    return arguments


pytestmark = pytest.mark.furnished(by=furnish)


@dataclass
class Scene:
    browsers: dict[str, Client]
    arguments: dict[str, dict[str, str]]


@pytest.fixture
def scene(reseller: Member, client_member: Member, outsider: Member, furniture: Any, log_in: LogIn) -> Scene:
    staff = User.objects.create_superuser("staff", "staff@test.example", PASSWORD, name="Staff")
    people = {"client": client_member.user, "reseller": reseller.user, "outsider": outsider.user, "staff": staff}
    return Scene({"anonymous": Client()} | {who: log_in(user) for who, user in people.items()}, furniture)


def contacts_arguments(member: Member) -> dict[str, dict[str, str]]:
    """A list of the member with one contact, who opted out."""
    team = ContactList.objects.create(account=member.account, name="Team")
    add_to_list(contact_list=team, number="+61412345999", source="by hand")
    opt_out(account=member.account, number="+61412345999", source="reply")
    contact, code = Contact.objects.get().code, team.code
    named = {f"contacts:list-{name}": {"code": code} for name in ("detail", "fill", "rename", "delete")}
    named |= {f"contacts:contact-{name}": {"code": contact} for name in ("detail", "edit", "delete")}
    named["contacts:member-remove"] = {"code": code, "contact": contact}
    named["contacts:opt-in"] = {"code": OptOut.objects.get().code}
    return named


def numbers_arguments(lessee: Member, holder: Member) -> dict[str, dict[str, str]]:
    """A number that one leases and the other has, and a free one."""
    lease = lease_number(lessee)
    allocate(lease=lease, child=holder.account, actor=None)
    of_lease = ("detail", "label", "settings", "secret", "allocate", "take-back", "release")
    named = {f"numbers:{name}": {"code": lease.code} for name in of_lease}
    return named | {"numbers:lease": {"code": make_number("+61480000002").code}}


def keywords_arguments(holder: Member) -> dict[str, dict[str, str]]:
    """A keyword of the member on the number that it has."""
    KeywordTerms.objects.create(account=holder.account, is_enabled=True)
    keyword = put_keyword(holder, VirtualNumber.objects.get(leases__holder=holder.account), "JOIN")
    return {f"keywords:{name}": {"code": keyword.code} for name in ("detail", "edit", "close", "open", "secret", "end")}


def walk(resolver: URLResolver | None = None, namespace: str = "") -> Iterator[tuple[str, str]]:
    """(name, pattern) of every URL outside the admin."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLPattern):
            yield f"{namespace}{entry.name}", str(entry.pattern)
        elif entry.namespace != "admin":
            yield from walk(entry, f"{namespace}{entry.namespace}:" if entry.namespace else namespace)


def read(answer) -> int | str:
    """A status, or where a redirect leads."""
    if answer.status_code not in (301, 302, 303):
        return answer.status_code
    target = answer["Location"].split("?")[0]
    names = {reverse("account_login"): LOGIN, reverse("admin:index"): ADMIN, reverse("dashboard"): HOME}
    whole = re.fullmatch(r"/(batches|send|billing/topups)/\w+/|/inbox/(\w+/)?", target)
    return WHOLE if whole else names.get(target, target)


def test_every_url_is_listed():
    assert {name for name, _ in walk()} == set(GET)


@pytest.mark.parametrize("name", sorted(GET))
def test_a_page_answers_each_visitor_as_listed_and_looking_changes_nothing(scene, name):
    before = state()
    url = reverse(name, kwargs=scene.arguments.get(name, {}))
    answers = tuple(read(scene.browsers[visitor].get(url)) for visitor in VISITORS)
    assert answers == GET[name]
    assert state() == before


def state() -> list:
    """What nobody changes by looking, nor by a post that is refused."""
    return [LedgerEntry.objects.count(), AuditEntry.objects.count(), *TopUp.objects.values_list("state", flat=True)]


# Posts to the client's objects: who is refused, and how. Whoever may do it is tested where the deed is.
REFUSED_POSTS = {
    "billing:add-credit": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "billing:card-remove": {"anonymous": LOGIN, "client": 404, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "billing:recharge-save": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "billing:topup-cancel": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "clients:add": {"anonymous": LOGIN, "client": 404, "staff": ADMIN},
    "clients:defaults": {"anonymous": LOGIN, "client": 404, "staff": ADMIN},
    "clients:edit": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "clients:credits": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "clients:margins": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "clients:limits": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "clients:trial": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "clients:suspend": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "clients:reactivate": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "keywords:add": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "keywords:edit": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "keywords:close": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "keywords:open": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "keywords:secret": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "keywords:end": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "messaging:send": {"anonymous": LOGIN, "staff": ADMIN},
    "messaging:send-prepared": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "messaging:conversation-reply": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "messaging:conversation-read": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "messaging:conversation-assign": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "messaging:batch-cancel": {"anonymous": LOGIN, "outsider": 404, "staff": ADMIN},
    "messaging:batch-time": {"anonymous": LOGIN, "outsider": 404, "staff": ADMIN},
    "billing:notices": {"anonymous": LOGIN, "staff": ADMIN},
    "accounts:settings": {"anonymous": LOGIN, "staff": ADMIN},
    "numbers:lease": {"anonymous": LOGIN, "staff": ADMIN},
    "numbers:label": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "numbers:settings": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "numbers:secret": {"anonymous": LOGIN, "reseller": 404, "outsider": 404, "staff": ADMIN},
    "numbers:allocate": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "numbers:take-back": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
    "numbers:release": {"anonymous": LOGIN, "client": 404, "outsider": 404, "staff": ADMIN},
}


@pytest.mark.parametrize("name", sorted(REFUSED_POSTS))
def test_a_post_of_someone_who_may_not_is_refused_and_changes_nothing(scene, name):
    before = state()
    url = reverse(name, kwargs=scene.arguments.get(name, {}))
    expected = REFUSED_POSTS[name]
    assert {visitor: read(scene.browsers[visitor].post(url, {"confirm": "yes"})) for visitor in expected} == expected
    assert state() == before
    assert Batch.objects.get().state == Batch.State.ACCEPTED


def test_a_webhook_without_a_signature_is_refused(scene):
    answer = scene.browsers["anonymous"].post(reverse("billing:stripe-webhook"), "{}", content_type="application/json")
    assert answer.status_code == 400


def admin_lists() -> list[str]:
    return sorted(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist" for model in site._registry)


@pytest.mark.parametrize("name", ["admin:index", *admin_lists()])
def test_the_admin_is_for_staff_alone(scene, name):
    answers = [scene.browsers[visitor].get(reverse(name)) for visitor in VISITORS]
    assert [answer.status_code for answer in answers] == [302, 302, 302, 302, 200]
    assert all(re.match(r"/admin/login/|/login/", answer["Location"]) for answer in answers[:4])
