"""Keywords: making, changing, closing and ending them (PRODUCT.md, money rule 5).

Locks are taken in the order keyword terms, lease, subscription, keyword, wallets. The lock on the terms lets one
account make or change one keyword at a time: neither its limit nor a word can be passed by two at once.
"""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from accounts.models import Account, User
from accounts.services import audit
from billing.exceptions import PriceChanged
from billing.models import Subscription
from billing.services import subscriptions
from billing.services.service_prices import keyword_sale
from billing.wording import money_text
from contacts.models import ContactList
from keywords.exceptions import KeywordOver, KeywordRefused, UnfitWord, WordRefused
from keywords.models import Keyword, KeywordName, KeywordTerms
from keywords.reserved import reserved_in
from keywords.selectors import count_in_force
from keywords.words import check_word, normal
from virtual_numbers.models import Lease, VirtualNumber

MOST_ALIASES = 20
SECRET_BYTES = 32
NOT_OFFERED = "Keywords are switched off for this account; ask whoever manages it."


@dataclass(frozen=True)
class KeywordValues:
    """What people set of a keyword. Days are the account's own; addresses and numbers (E.164) are checked already."""

    aliases: tuple[str, ...] = ()
    starts_on: date | None = None
    ends_on: date | None = None
    opt_out_behaviour: str = Keyword.OptOutBehaviour.NONE
    contact_list: ContactList | None = None
    first_reply: str = ""
    later_reply: str = ""
    forward_emails: tuple[str, ...] = ()
    forward_mobiles: tuple[str, ...] = ()
    forward_url: str = ""

    def columns(self) -> dict[str, Any]:
        """The keyword's own columns."""
        return {
            "starts_on": self.starts_on, "ends_on": self.ends_on, "opt_out_behaviour": self.opt_out_behaviour,
            "contact_list": self.contact_list, "first_reply": self.first_reply, "later_reply": self.later_reply,
            "forward_emails": list(self.forward_emails), "forward_mobiles": list(self.forward_mobiles),
            "forward_url": self.forward_url,
        }  # fmt: skip


# --- Words ---------------------------------------------------------------------------------------------------------


def word_errors(
    *, number: VirtualNumber, word: str, aliases: Iterable[str], keyword: Keyword | None = None
) -> list[UnfitWord | WordRefused]:
    """What is wrong with the words of a keyword on a number, each at its field; empty when all can be had.

    ``keyword``: the one whose words these are, which it may keep.
    """
    aliases = list(aliases)
    errors: list[UnfitWord | WordRefused] = []
    if len(aliases) > MOST_ALIASES:
        errors.append(
            WordRefused(f"{len(aliases)} aliases are too many; a keyword has at most {MOST_ALIASES}.", "aliases")
        )
    reserved, taken = reserved_in([number.country])[number.country], _taken(number, [word, *aliases], keyword)
    seen: dict[str, str] = {}
    for field, text in [("word", word), *(("aliases", alias) for alias in aliases)]:
        try:
            compared = normal(check_word(text))
        except UnfitWord as error:
            errors.append(UnfitWord(str(error), field))
            continue
        if compared in seen:
            errors.append(WordRefused(_twice(text, seen[compared]), field))
        elif compared in reserved:
            errors.append(WordRefused(_reserved(text), field))
        elif compared in taken:
            errors.append(WordRefused(_has(text, taken[compared], number), field))
        seen[compared] = text
    return errors


def _twice(text: str, other: str) -> str:
    if text == other:
        return f"“{text}” is here twice; leave one out."
    return f"“{text}” and “{other}” are the same word: capitals, accents and hyphens do not count. Leave one out."


def _reserved(text: str) -> str:
    return (
        f"“{text}” is reserved: phones use it to stop or start messages or to ask for help, whatever keywords there "
        "are. Choose another word."
    )


def _has(text: str, keyword: Keyword, number: VirtualNumber) -> str:
    return f"“{text}” already leads to the keyword {keyword.word} on {number.number}. Choose another word."


def _taken(number: VirtualNumber, words: Iterable[str], keyword: Keyword | None) -> dict[str, Keyword]:
    """Which of the words (as compared) lead to another keyword of the number."""
    names = KeywordName.objects.filter(number=number, normal__in=[normal(word) for word in words])
    others = names.exclude(keyword=keyword) if keyword else names
    return {name.normal: name.keyword for name in others.select_related("keyword")}


def _check_words(number: VirtualNumber, word: str, aliases: Iterable[str], keyword: Keyword | None = None) -> None:
    for error in word_errors(number=number, word=word, aliases=aliases, keyword=keyword):
        raise error


# --- Make and end --------------------------------------------------------------------------------------------------


@transaction.atomic
def create_keyword(
    *, account: Account, number: VirtualNumber, word: str, values: KeywordValues, expected: Decimal | None,
    actor: User | None, now: datetime,
) -> Keyword:  # fmt: skip
    """Make a keyword and charge its first month; its subscription notes who did it.

    ``expected``: the monthly price that the person saw; None where it sees no money. Raises KeywordError (with its
    field), PriceChanged, and what billing.services.subscriptions.start raises.
    """
    terms = _lock_terms(account)
    _check_limit(terms)
    _check_holds(account, number)
    _end_strangers(number, account, now)
    _check_words(number, word, values.aliases)
    price = keyword_sale(account, terms.price)
    if expected is not None and expected != price.amount:
        raise PriceChanged(
            f"A keyword costs {money_text(price.amount, price.currency)} a month now, not "
            f"{money_text(expected, price.currency)}. Nothing was charged; look at it again."
        )
    word = check_word(word)
    subscription = subscriptions.start(
        account=account, service=Subscription.Service.KEYWORD, label=f"Keyword {word} on {number.number}", first=price,
        setup=None, actor=actor, now=now,
    )  # fmt: skip
    keyword = Keyword.objects.create(
        account=account, number=number, word=word, subscription=subscription, created_at=now,
        webhook_secret=new_secret() if values.forward_url else "", **values.columns(),
    )  # fmt: skip
    _write_names(keyword, values.aliases)
    return keyword


def _lock_terms(account: Account) -> KeywordTerms:
    terms = KeywordTerms.objects.select_for_update().filter(account=account, is_enabled=True).first()
    if terms is None:
        raise KeywordRefused(NOT_OFFERED)
    return terms


def _check_limit(terms: KeywordTerms) -> None:
    count = count_in_force(terms.account)
    if terms.limit and count >= terms.limit:
        raise KeywordRefused(
            f"You have {count} keyword{'' if count == 1 else 's'} and may have {terms.limit}. End one that you do not "
            "need, or ask whoever manages your account for more."
        )


def _check_holds(account: Account, number: VirtualNumber) -> None:
    """The lease stays as it is until this transaction ends."""
    held = Lease.objects.select_for_update(no_key=True, of=("self",)).filter(number=number, ended_at=None)
    lease = held.filter(holder=account).select_related("subscription").first()
    if lease is None:
        raise KeywordRefused(f"{number.number} is not one of your numbers any more; choose another.", "number")
    if not lease.subscription.works:
        raise KeywordRefused(f"{number.number} is suspended until its renewal is paid; choose another.", "number")


def _end_strangers(number: VirtualNumber, holder: Account, now: datetime) -> None:
    """Keywords of who held the number before it was released or taken back."""
    for keyword in Keyword.objects.filter(number=number, ended_at=None).exclude(account=holder):
        end_keyword(keyword=keyword, actor=None, now=now)


def new_secret() -> str:
    """A secret that signs webhooks (43 characters)."""
    return secrets.token_urlsafe(SECRET_BYTES)


def _write_names(keyword: Keyword, aliases: Iterable[str]) -> None:
    names = [keyword.word, *(check_word(alias) for alias in aliases)]
    KeywordName.objects.bulk_create(
        KeywordName(keyword=keyword, number_id=keyword.number_id, name=name, normal=normal(name)) for name in names
    )


@transaction.atomic
def end_keyword(*, keyword: Keyword, actor: User | None, now: datetime) -> None:
    """End it now: its words are free again, and what is paid stays paid. Raises KeywordOver."""
    subscription = subscriptions.lock(keyword.subscription_id)
    if subscription.state == Subscription.State.ENDED:
        raise KeywordOver(f"The keyword {keyword.word} has ended already.")
    subscriptions.end(subscription, actor=actor, now=now)
    close_for_good(subscription, now)


def close_for_good(subscription: Subscription, now: datetime) -> None:
    """Free the words of the keyword whose subscription has just ended, in the same transaction."""
    keyword = Keyword.objects.select_for_update(of=("self",)).get(subscription=subscription)
    keyword.ended_at = now
    keyword.save(update_fields=["ended_at"])
    keyword.names.all().delete()


@transaction.atomic
def end_keywords_on(number: VirtualNumber, account: Account, actor: User | None, now: datetime) -> int:
    """End the account's keywords on a number that it gives up or gives back; returns how many."""
    ended = 0
    for keyword in list(Keyword.objects.filter(number=number, account=account, ended_at=None).order_by("subscription")):
        with suppress(KeywordOver):  # somebody else ended it while this waited for its lock
            end_keyword(keyword=keyword, actor=actor, now=now)
            ended += 1
    return ended


# --- Change --------------------------------------------------------------------------------------------------------


@transaction.atomic
def update_keyword(*, keyword: Keyword, values: KeywordValues, actor: User | None) -> Keyword:
    """Change everything but the word and the number. Raises KeywordError with its field."""
    _lock_terms(keyword.account)
    locked = _lock(keyword)
    _check_words(locked.number, locked.word, values.aliases, locked)
    columns = values.columns()
    changed = [name for name, value in columns.items() if getattr(locked, name) != value]
    for name in changed:
        setattr(locked, name, columns[name])
    if locked.forward_url and not locked.webhook_secret:
        locked.webhook_secret = new_secret()
        changed.append("webhook_secret")
    aliases = [check_word(alias) for alias in values.aliases]
    before = list(locked.names.exclude(name=locked.word).order_by("pk").values_list("name", flat=True))
    if aliases != before:
        locked.names.all().delete()
        _write_names(locked, aliases)
    if changed:
        locked.save(update_fields=changed)
    if changed or aliases != before:
        named = sorted({*changed, *(["aliases"] if aliases != before else [])} - {"webhook_secret"})
        audit.record(
            account=locked.account, actor=actor, action="keyword.changed", subject=locked.code, word=locked.word,
            changed=named,
        )  # fmt: skip
    return locked


@transaction.atomic
def set_status(*, keyword: Keyword, status: str, actor: User | None) -> bool:
    """Open or close it (Keyword.Status), paid for all the same; False when it was so. Raises KeywordOver."""
    locked = _lock(keyword)
    if locked.status == status:
        return False
    locked.status = status
    locked.save(update_fields=["status"])
    deed = "opened" if status == Keyword.Status.OPEN else "closed"
    audit.record(
        account=locked.account, actor=actor, action=f"keyword.{deed}", subject=locked.code, word=locked.word
    )  # fmt: skip
    return True


@transaction.atomic
def renew_secret(*, keyword: Keyword, actor: User | None) -> str:
    """Sign webhooks with another secret from now on; returns it. Raises KeywordOver."""
    locked = _lock(keyword)
    locked.webhook_secret = new_secret()
    locked.save(update_fields=["webhook_secret"])
    audit.record(
        account=locked.account, actor=actor, action="keyword.secret_renewed", subject=locked.code, word=locked.word
    )  # fmt: skip
    return locked.webhook_secret


def _lock(keyword: Keyword) -> Keyword:
    found = Keyword.objects.select_for_update(of=("self",)).select_related("account", "number").get(pk=keyword.pk)
    if found.ended_at is not None:
        raise KeywordOver(f"The keyword {found.word} has ended; nothing about it can be changed.")
    return found
