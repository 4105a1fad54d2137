"""Numbers and keywords in force, written as rows where a test is about what they do and not about how they are made."""

from datetime import date
from typing import Any

from accounts.models import Account
from billing.models import Subscription
from keywords.models import Keyword, KeywordName
from keywords.words import normal
from tests.cast import Member
from virtual_numbers.models import Lease, NumberSettings, VirtualNumber

NUMBER, OTHER_NUMBER = "+61480000001", "+61480000002"
PHONE, OTHER_PHONE = "+61491570156", "+61491570157"


def subscription_of(account: Account, service: str, label: str) -> Subscription:
    return Subscription.objects.create(
        account=account, service=service, label=label, anchor_day=1, next_renewal_on=date(2999, 1, 1)
    )


def hold_number(member: Member, number: str = NUMBER, country: str = "AU", **more: Any) -> VirtualNumber:
    """A number that the member has leased."""
    kind = VirtualNumber.Kind.LONG if number.startswith("+") else VirtualNumber.Kind.SHORT
    row = VirtualNumber.objects.create(
        number=number, country=country, kind=kind, state=VirtualNumber.State.LEASED, capabilities=["sms_in", "sms_out"]
    )
    subscription = subscription_of(member.account, Subscription.Service.NUMBER, number)
    Lease.objects.create(
        number=row, account=member.account, holder=member.account, subscription=subscription, **more
    )  # fmt: skip
    return row


def set_number(number: VirtualNumber, **settings: Any) -> NumberSettings:
    """What the number's holder wants done with messages that no keyword takes."""
    return NumberSettings.objects.create(lease=Lease.objects.get(number=number, ended_at=None), **settings)


def put_keyword(member: Member, number: VirtualNumber, *words: str, **settings: Any) -> Keyword:
    """A keyword in force, with the other words as its aliases."""
    subscription = subscription_of(member.account, Subscription.Service.KEYWORD, words[0])
    keyword = Keyword.objects.create(
        account=member.account, number=number, word=words[0], subscription=subscription, **settings
    )
    KeywordName.objects.bulk_create(
        KeywordName(keyword=keyword, number=number, name=word, normal=normal(word)) for word in words
    )
    return keyword


def put_keywords(member: Member, number: VirtualNumber, words: list[str], **settings: Any) -> None:
    """Many keywords of one word each that do the same, in a few statements."""
    common = {"account": member.account, "anchor_day": 1, "next_renewal_on": date(2999, 1, 1)}
    subscriptions = Subscription.objects.bulk_create(
        Subscription(service=Subscription.Service.KEYWORD, label=word, **common) for word in words
    )
    keywords = Keyword.objects.bulk_create(
        Keyword(account=member.account, number=number, word=word, subscription=subscription, **settings)
        for word, subscription in zip(words, subscriptions, strict=True)
    )
    KeywordName.objects.bulk_create(
        KeywordName(keyword=one, number=number, name=one.word, normal=normal(one.word)) for one in keywords
    )
