"""Making and changing clients: seed 1's form as one deed over the rooms' own services."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from accounts.exceptions import AccountError
from accounts.models import Account, User
from accounts.services.accounts import create_account, update_account
from accounts.services.mail import queue_mail
from accounts.services.users import change_login, create_member, set_password
from billing.models import BillingTerms
from billing.selectors import terms_of
from billing.services import terms as billing_terms
from billing.services.notices import set_notices
from billing.services.switching import check_parent
from billing.services.trials import grant_trial_credit
from clients.allocation import change_allocation, terms_for
from clients.selectors import may_change_login, owner_of
from keywords.services import terms as keyword_terms
from virtual_numbers.models import NumberTerms
from virtual_numbers.services import terms as number_terms


@dataclass(frozen=True, kw_only=True)
class ClientValues:
    """Every field of seed 1. Amounts in the client's currency; ``method`` is a BillingTerms.Method.

    On a change, an empty ``password`` leaves the password as it is, and an empty ``email`` the whole log-in.
    """

    contact_name: str
    name: str
    mobile: str
    country: str
    time_zone: str
    email: str
    password: str
    method: str
    fixed_topup: Decimal | None = None
    minimum_topup: Decimal | None = None
    daily_topup_limit: Decimal | None = None
    sms_margin: Decimal = Decimal(0)
    trial_ends_on: date | None = None
    trial_credit: Decimal | None = None  # the total; None = leave what was given
    notification_limit: Decimal | None = None
    notification_credits: int | None = None
    notification_email: str = ""
    allocation: str = NumberTerms.Allocation.OWN  # or the code of the parent's lease (clients/allocation.py)
    number_margin: Decimal = Decimal(0)
    keywords_enabled: bool = False
    keyword_price: Decimal = Decimal(0)
    keyword_limit: int = 0

    def details(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("contact_name", "name", "mobile", "country", "time_zone")}

    def billing(self) -> dict[str, Any]:
        keys = ("method", "fixed_topup", "minimum_topup", "daily_topup_limit", "sms_margin", "trial_ends_on")
        return {key: getattr(self, key) for key in keys}

    def notices(self) -> dict[str, Any]:
        """Of money or of credits, whichever the method counts; the other limit stays as it was."""
        if self.method == BillingTerms.Method.SMS_CREDITS:
            return {"credits_limit": self.notification_credits, "email": self.notification_email}
        return {"limit": self.notification_limit, "email": self.notification_email}

    def numbers(self) -> dict[str, Any]:
        return {"allocation": terms_for(self.allocation), "margin": self.number_margin}

    def keywords(self) -> dict[str, Any]:
        return {"is_enabled": self.keywords_enabled, "price": self.keyword_price, "limit": self.keyword_limit}


@transaction.atomic
def create_client(*, parent: Account, values: ClientValues, actor: User | None, welcome: bool = False) -> Account:
    """Make a client of ``parent``, in the parent's currency, with all its terms and its owner's log-in: all or nothing.

    ``welcome``: mail the owner where and as whom to log in (never the password). A new client cannot have clients of
    its own. Raises EmailTaken, ChildrenNotAllowed, NotAllocatable, TrialRefused, and MoneyStranded where the parent is
    billed to its own by now.
    """
    client = create_account(parent=parent, actor=actor, can_have_children=False, **values.details())
    check_parent(client, values.method)
    billing_terms.create_terms(account=client, actor=actor, **values.billing())
    number_terms.create_terms(account=client, actor=actor, **values.numbers())
    change_allocation(client=client, value=values.allocation, actor=actor)
    _give_trial_credit(client, values, actor)
    if any(values.notices().values()):
        set_notices(account=client, actor=actor, **values.notices())
    keyword_terms.create_terms(account=client, actor=actor, **values.keywords())
    user = create_member(
        account=client, email=values.email, name=values.contact_name, password=values.password, actor=actor
    )
    if welcome:
        _queue_welcome(client, user)
    return client


@transaction.atomic
def update_client(
    *, client: Account, values: ClientValues, actor: User | None, expected_refund: Decimal | None = None
) -> Account:
    """Change a client to ``values``; each room notes what changed. ``expected_refund`` as in update_terms.

    Raises EmailTaken, MoneyStranded, CreditPriceChanged and TrialRefused (see billing.services.terms and trials),
    NotAllocatable, CountryInUse, and AccountError when the log-in is not the parent's to change.
    """
    old_contact = client.contact_name
    # Keywords and numbers lock their rows before wallets, as making and renewing them does.
    keyword_terms.update_terms(account=client, actor=actor, **values.keywords())
    change_allocation(client=client, value=values.allocation, actor=actor)
    number_terms.update_terms(account=client, actor=actor, **values.numbers())
    terms = terms_of(client)
    if terms is None:
        billing_terms.create_terms(account=client, actor=actor, **values.billing())
    else:
        billing_terms.update_terms(terms=terms, actor=actor, expected_refund=expected_refund, **values.billing())
    update_account(account=client, actor=actor, **values.details())
    _give_trial_credit(client, values, actor)
    if values.method != BillingTerms.Method.BILL_TO_PARENT:  # for such a client the form has no such fields
        set_notices(account=client, actor=actor, **values.notices())
    if values.email:
        _update_login(client, values, old_contact, actor)
    return client


def _give_trial_credit(client: Account, values: ClientValues, actor: User | None) -> None:
    if values.trial_credit is not None:
        grant_trial_credit(account=client, total=values.trial_credit, actor=actor)


def _update_login(client: Account, values: ClientValues, old_contact: str, actor: User | None) -> None:
    user = owner_of(client)
    if user is None:
        create_member(
            account=client, email=values.email, name=values.contact_name, password=values.password, actor=actor
        )
        return
    is_ours = may_change_login(user, client)
    # The owner's name follows the contact's as long as they are one person.
    name = values.contact_name if is_ours and user.name == old_contact else user.name
    changes_login = (values.email, name) != (user.email, user.name)
    if (changes_login or values.password) and not is_ours:
        raise AccountError(f"{user} also belongs to other accounts; only they can change their log-in.")
    if changes_login:
        change_login(user=user, account=client, email=values.email, name=name, actor=actor)
    if values.password:
        set_password(user=user, account=client, password=values.password, actor=actor)


def _queue_welcome(client: Account, user: User) -> None:
    queue_mail(
        key=f"welcome:{client.code}",
        to=user.email,
        template="clients/mail/welcome",
        context={
            "user": user,
            "parent_name": client.parent.name if client.parent else "",
            "login_url": settings.SITE_URL + reverse("account_login"),
            "reset_url": settings.SITE_URL + reverse("account_reset_password"),
        },
        account=client,
    )
