"""What the pages of KEYWORDS say of a keyword: how it stands, and what it does."""

from dataclasses import dataclass
from datetime import date, datetime

from billing.models import Subscription
from billing.trial import local_date
from keywords.models import Keyword
from keywords.selectors import aliases_of


@dataclass(frozen=True)
class Standing:
    """A word for a badge (``state`` picks its colour, ``day`` belongs to it) and, in ``why``, what is to be done."""

    state: str
    label: str
    day: date | None = None
    why: str = ""


def standing_of(keyword: Keyword, now: datetime) -> Standing:
    """How the keyword stands; what keeps it from answering comes before a renewal that is not paid yet."""
    if keyword.ended_at is not None:
        return Standing("none", "Ended", local_date(keyword.account, keyword.ended_at))
    subscription, today = keyword.subscription, local_date(keyword.account, now)
    if not subscription.works:
        return Standing(
            "suspended", "Suspended", why="Its renewal is not paid. It answers again as soon as there is money for it."
        )
    if keyword.status == Keyword.Status.CLOSED:
        return Standing("paused", "Closed", why="It answers nobody until you open it, and is renewed all the same.")
    if keyword.starts_on and today < keyword.starts_on:
        return Standing("scheduled", "Starts", keyword.starts_on)
    if keyword.ends_on and today > keyword.ends_on:
        return Standing(
            "expired", "Over since", keyword.ends_on,
            "Its last day is over, so it answers nobody, and it is renewed until you end it.",
        )  # fmt: skip
    if subscription.state == Subscription.State.GRACE:
        return Standing("warning", "Payment due", why="Its renewal is not paid yet; it still answers for a few days.")
    return Standing("active", "Open")


@dataclass(frozen=True)
class Row:
    """A keyword as the list shows it."""

    keyword: Keyword
    aliases: list[str]
    standing: Standing

    @property
    def deeds(self) -> list[str]:
        """What it does, in a word each."""
        keyword = self.keyword
        forwards = [*keyword.forward_emails, *keyword.forward_mobiles, *filter(None, [keyword.forward_url])]
        wanted = [
            ("replies", keyword.first_reply or keyword.later_reply),
            (f"adds to {keyword.contact_list}", keyword.contact_list),
            (f"forwards to {len(forwards)}", forwards),
            ("opts out", keyword.opt_out_behaviour == Keyword.OptOutBehaviour.OPT_OUT),
            ("opts in", keyword.opt_out_behaviour == Keyword.OptOutBehaviour.OPT_IN),
        ]
        return [words for words, applies in wanted if applies]


def row_of(keyword: Keyword, now: datetime) -> Row:
    return Row(keyword, aliases_of(keyword), standing_of(keyword, now))
