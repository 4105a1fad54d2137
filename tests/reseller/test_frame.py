"""The frame's one statement reads as the rooms' own functions do."""

from accounts.models import Account
from billing.models import LedgerAccount
from billing.selectors import frozen_accounts
from keywords.models import KeywordTerms
from keywords.selectors import offers_keywords
from messaging.inbox import unread_count
from messaging.models import Conversation
from reseller.frame import Frame, frame_of
from tests.cast import Member
from tests.messaging.inbound_rows import fill_inbox


def asked_one_by_one(account: Account) -> Frame:
    return Frame(unread_count(account), offers_keywords(account), bool(frozen_accounts(account)))


def test_the_frame_reads_as_each_room_does(
    platform: Account, reseller: Member, client_member: Member, billed_member: Member, outsider: Member
) -> None:
    accounts = [platform, *(one.account for one in (reseller, client_member, billed_member, outsider))]
    fill_inbox(client_member, 1_010)
    KeywordTerms.objects.filter(account=client_member.account).delete()
    KeywordTerms.objects.update_or_create(account=outsider.account, defaults={"is_enabled": True})
    KeywordTerms.objects.update_or_create(account=reseller.account, defaults={"is_enabled": False})
    LedgerAccount.objects.filter(owner=client_member.account, kind="wallet").update(is_frozen=True)
    assert frame_of(reseller.account) == Frame(unread=0, has_keywords=False, has_frozen=True)
    assert frame_of(client_member.account) == Frame(unread=100, has_keywords=False, has_frozen=True)
    assert frame_of(outsider.account) == Frame(unread=0, has_keywords=True, has_frozen=False)
    Conversation.objects.exclude(phone__endswith="50").update(unread=0)
    assert frame_of(client_member.account).unread == 10
    assert [frame_of(account) for account in accounts] == [asked_one_by_one(account) for account in accounts]
