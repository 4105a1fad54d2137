"""What the frame of every page asks of several rooms, in one prepared statement: each page pays for it."""

from dataclasses import dataclass

from accounts.models import Account
from accounts.prepared import fetch_prepared
from messaging.inbox import MOST_COUNTED

# As messaging.inbox.unread_count, keywords.selectors.offers_keywords and billing.selectors.frozen_accounts read.
_FRAME = """
    SELECT (SELECT count(*)
            FROM (SELECT FROM messaging_conversation
                  WHERE account_id = %(account)s::bigint AND unread > 0 LIMIT %(most)s::int) AS counted),
           EXISTS (SELECT FROM keywords_keywordterms WHERE account_id = %(account)s::bigint AND is_enabled),
           EXISTS (SELECT FROM billing_ledgeraccount w JOIN accounts_account o ON o.id = w.owner_id
                   WHERE w.is_frozen AND w.kind = 'wallet' AND %(account)s::bigint IN (o.id, o.parent_id))
"""


@dataclass(frozen=True)
class Frame:
    """``unread``: conversations, counted to MOST_COUNTED. ``has_keywords``: keywords are switched on for the account.

    ``has_frozen``: a dispute froze the wallet of the account or of a direct client.
    """

    unread: int
    has_keywords: bool
    has_frozen: bool


def frame_of(account: Account) -> Frame:
    """What the frame of the account's pages shows."""
    (row,) = fetch_prepared(_FRAME, {"account": account.pk, "most": MOST_COUNTED})
    return Frame(*row)
