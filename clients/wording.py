"""How a client's page says in words what is stored: its terms, and its audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from django.contrib.auth.password_validation import (
    CommonPasswordValidator,
    MinimumLengthValidator,
    NumericPasswordValidator,
    UserAttributeSimilarityValidator,
    get_default_password_validators,
)

from accounts.countries import country_name
from accounts.models import Account, AuditEntry
from billing.models import BillingTerms
from billing.statements import names_of
from billing.wording import credits_text, money_text
from clients.fields import plain_amount
from keywords.models import KeywordTerms
from virtual_numbers.models import NumberTerms

Method = BillingTerms.Method
# What Django's validators of passwords ask for, said of the client's password to somebody else.
_RULES = {
    MinimumLengthValidator: "at least {least} characters",
    NumericPasswordValidator: "more than digits",
    CommonPasswordValidator: "no common password",
    UserAttributeSimilarityValidator: "no likeness to the client's name or e-mail",
}


def password_rules() -> str:
    """The rules of AUTH_PASSWORD_VALIDATORS in half a sentence. Raises KeyError for one that has no words here."""
    validators = {type(one): one for one in get_default_password_validators()}
    least = getattr(validators.get(MinimumLengthValidator), "min_length", 0)
    said = [_RULES[kind].format(least=least) for kind in sorted(validators, key=[*_RULES].index)]
    return f"{', '.join(said[:-1])} and {said[-1]}"


def payment_words(terms: BillingTerms, currency: str) -> list[str]:
    """Who pays, how, and what the parent earns; for the parent's eyes."""

    def money(amount: Decimal | None) -> str:
        return money_text(amount or Decimal(0), currency)

    if terms.method == Method.BILL_TO_PARENT:
        return ["You pay: all activity is charged to your account at your own price, and the client sees no prices."]
    if terms.method == Method.SMS_CREDITS:
        return ["You pay: the client sends with SMS credits that you transfer, to numbers of its own country."]
    margin = f"Your margin is {money(terms.sms_margin)} a part."
    if terms.sms_margin < 0:
        margin = f"You sell below your own price and pay {money(-terms.sms_margin)} of each part yourself."
    if terms.method == Method.CARD_FIXED:
        limit = f", up to {money(terms.daily_topup_limit)} in 24 hours" if terms.daily_topup_limit else ""
        return [f"Pays by credit card, {money(terms.fixed_topup)} at a time{limit}.", margin]
    if terms.method == Method.CARD_VARIABLE:
        return [
            f"Pays by credit card, any amount from {money(terms.minimum_topup)} to "
            f"{money(terms.daily_topup_limit)} a day.",
            margin,
        ]
    return ["Pays by invoice.", margin]


def number_words(terms: NumberTerms) -> str:
    """How the client gets its number and what the parent adds."""
    margin = f"your margin is {money_text(terms.margin, terms.account.currency)} a month on the number's base price."
    if terms.allocation == NumberTerms.Allocation.PARENT:
        return f"The client has the numbers that you give it. For any that it leased itself {margin}"
    return f"{terms.get_allocation_display()}; {margin}"


def keyword_words(terms: KeywordTerms) -> str:
    """Whether the client has keywords, at which price and how many."""
    if not terms.is_enabled:
        return "No keyword marketing."
    limit = f"at most {terms.limit:,}" if terms.limit else "as many as the client likes"
    return f"{money_text(terms.price, terms.account.currency)} a keyword and month, {limit}."


@dataclass(frozen=True)
class Words:
    """A client's terms in sentences, section by section."""

    payment: list[str]
    numbers: str
    keywords: str


def words_of(client: Account, terms: BillingTerms | None) -> Words:
    """The terms of a client, for its parent; "" and [] for those that it does not have."""
    numbers = NumberTerms.objects.filter(account=client).select_related("account").first()
    keywords = KeywordTerms.objects.filter(account=client).select_related("account").first()
    return Words(
        payment=payment_words(terms, client.currency) if terms else [],
        numbers=number_words(numbers) if numbers else "",
        keywords=keyword_words(keywords) if keywords else "",
    )


# --- Audit trail -------------------------------------------------------------------------------------------------

DEEDS = {
    "account.created": "Client added",
    "account.updated": "Account details changed",
    "account.suspended": "Suspended",
    "account.active": "Reactivated",
    "terms.created": "Billing terms set",
    "terms.updated": "Billing terms changed",
    "number.started": "Number leased",
    "number.ended": "Number given up",
    "number.suspended": "Number suspended",
    "number.resumed": "Number works again",
    "number.settings_changed": "Settings of a number changed",
    "number.labelled": "Number named",
    "number.secret_renewed": "Secret of a number's URL renewed",
    "number_terms.created": "Number terms set",
    "number_terms.updated": "Number terms changed",
    "keyword.started": "Keyword added",
    "keyword.changed": "Keyword changed",
    "keyword.opened": "Keyword opened",
    "keyword.closed": "Keyword closed",
    "keyword.suspended": "Keyword suspended",
    "keyword.resumed": "Keyword works again",
    "keyword.ended": "Keyword ended",
    "keyword.secret_renewed": "Secret of a keyword's URL renewed",
    "keyword_terms.created": "Keyword terms set",
    "keyword_terms.updated": "Keyword terms changed",
    "client_defaults.updated": "Defaults for new clients changed",
    "trial.credit_given": "Trial credit given",
    "trial.extended": "Trial extended",
    "trial.ended": "Trial ended",
    "trial.closed": "Live",
    "notices.updated": "Notices changed",
    "user.created": "Log-in made",
    "user.updated": "Log-in changed",
    "user.password_set": "Password set",
    "credits.transferred": "SMS credits transferred",
    "credits.taken_back": "SMS credits taken back",
    "country_margin.changed": "Margin for a country changed",
    "topup.started": "Card payment started",
    "topup.paid": "Card payment received",
    "topup.failed": "Card payment failed",
    "topup.expired": "Card payment expired",
    "topup.cancelled": "Card payment cancelled",
    "topup.flagged": "Card payment needs attention",
    "card.kept": "Card saved",
    "card.removed": "Card removed",
    "recharge.on": "Automatic recharge switched on",
    "recharge.off": "Automatic recharge switched off",
    "recharge.started": "Automatic recharge started",
    "recharge.paused": "Automatic recharge paused",
    "recharge.resumed": "Automatic recharge goes on",
    "refund.booked": "Refund to the card",
    "refund.failed": "Refund refused by the bank",
    "dispute.inquiry": "Bank asks about a payment",
    "dispute.open": "Payment disputed at the bank",
    "dispute.won": "Disputed payment won back",
    "dispute.lost": "Disputed payment lost",
    "payment.booked": "Payment booked by staff",
    "postpaid.booked": "Monthly top-up booked",
    "invoice_terms.updated": "Credit changed",
    "invoice_terms.withdrawn": "Credit withdrawn",
    "overdraw.ended": "Overdraw ended",
    "batch.accepted": "Messages accepted",
    "batch.cancelled": "Messages cancelled",
    "batch.rescheduled": "Time of sending changed",
    "sending.limits": "Sending limits changed",
    "messages.sent_again": "Unknown messages sent again",
    "messages.given_up": "Unknown messages given up",
}
NAMES = {
    "contact_name": "contact name",
    "name": "account name",
    "time_zone": "time zone",
    "can_have_children": "may add clients",
    "fixed_topup": "fixed amount",
    "minimum_topup": "minimum top-up",
    "daily_topup_limit": "daily top-up limit",
    "sms_margin": "SMS margin",
    "display_margin": "SMS margin for billed clients",
    "trial_ends_on": "trial expiry",
    "trial_closed_at": "live since",
    "is_enabled": "keywords",
    "limit": "keyword limit",
}


@dataclass(frozen=True)
class Deed:
    """One line of the trail."""

    entry: AuditEntry
    title: str
    changes: list[str]
    who: str = "the portal"


def deeds_of(viewer: Account, entries: Sequence[AuditEntry]) -> list[Deed]:
    """The trail as ``viewer`` reads it: people above it stay unnamed, as on its statement."""
    people = names_of(viewer, {entry.actor_id for entry in entries if entry.actor_id})
    deeds = [(entry, deed_of(entry)) for entry in entries]
    return [replace(deed, who=people.get(entry.actor_id or 0, deed.who)) for entry, deed in deeds]


def deed_of(entry: AuditEntry) -> Deed:
    """What an audit entry says, in words."""
    title = DEEDS.get(entry.action) or entry.action.replace(".", " ").replace("_", " ").capitalize()
    data: dict[str, Any] = entry.data or {}
    before, after = data.get("before"), data.get("after")
    if isinstance(before, dict) and isinstance(after, dict):
        changes = [f"{_name(key)}: {_shown(key, before.get(key))} → {_shown(key, new)}" for key, new in after.items()]
        return Deed(entry, title, changes)
    if "quantity" in data:
        return Deed(entry, title, [credits_text(data["quantity"])])
    return Deed(entry, title, [f"Reason: {data['reason']}"] if data.get("reason") else [])


def _name(key: str) -> str:
    words = NAMES.get(key, key.replace("_", " "))
    return words[:1].upper() + words[1:]


def _shown(key: str, value: Any) -> str:
    if value in (None, "", "None"):
        return "none"
    if key == "method":
        return str(dict(Method.choices).get(value, value))
    if key == "country":
        return country_name(str(value))
    if isinstance(value, bool) or value in ("True", "False"):
        return "yes" if str(value) == "True" else "no"
    return _amount(str(value))


def _amount(text: str) -> str:
    """Amounts are noted with all six decimals; people read the significant ones."""
    try:
        return plain_amount(Decimal(text)) if "." in text else text
    except InvalidOperation:
        return text
