"""Reads of keywords, scoped to accounts."""

from django.db.models import Q, QuerySet
from django.http import Http404

from accounts.models import Account
from billing.models import Subscription
from keywords.models import Keyword, KeywordName, KeywordTerms
from virtual_numbers.models import VirtualNumber

RELATIONS = ("account__keyword_terms", "number", "subscription", "contact_list")


def terms_of(account: Account) -> KeywordTerms:
    """The account's keyword terms; switched off where none were ever set."""
    return KeywordTerms.objects.filter(account=account).first() or KeywordTerms(account=account)


def offers_keywords(account: Account) -> bool:
    """Whether the account has the KEYWORDS page."""
    return KeywordTerms.objects.filter(account=account, is_enabled=True).exists()


def keywords_of(account: Account, *, ended: bool = False, search: str = "") -> QuerySet[Keyword]:
    """The account's keywords in force (or those that ended), newest first, with what a list shows of them."""
    found = Keyword.objects.filter(account=account, ended_at__isnull=not ended)
    if search:
        # An ended keyword has no names left.
        named = KeywordName.objects.filter(name__icontains=search).values("keyword")
        found = found.filter(Q(word__icontains=search) | Q(pk__in=named) | Q(number__number__contains=search))
    return found.select_related(*RELATIONS).prefetch_related("names").order_by("-pk")


def get_keyword_for(account: Account, code: str) -> Keyword:
    """The account's keyword with that code, ended or not; anything else is 404."""
    found = Keyword.objects.filter(account=account, code=code).select_related(*RELATIONS).first()
    if found is None:
        raise Http404("No such keyword.")
    return found


def aliases_of(keyword: Keyword) -> list[str]:
    """The keyword's other words as people read them, in the order in which they were given."""
    return [name.name for name in sorted(keyword.names.all(), key=lambda name: name.pk) if name.name != keyword.word]


def count_in_force(account: Account) -> int:
    """How many keywords count against the account's limit."""
    return Keyword.objects.filter(account=account, ended_at=None).count()


def numbers_of(account: Account) -> list[VirtualNumber]:
    """The numbers that the account holds and that work, on which it can have keywords."""
    held = VirtualNumber.objects.filter(
        leases__ended_at=None, leases__holder=account, leases__subscription__state__in=Subscription.WORKING
    )
    return list(held.order_by("number"))
