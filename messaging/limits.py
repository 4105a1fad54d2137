"""What an account may send, in words."""

from accounts.models import Account
from messaging.models import SendingTerms


def limit_words(account: Account) -> list[tuple[str, str]]:
    """(what, how much) of the limits that are set for the account; empty where there are none."""
    terms = SendingTerms.objects.filter(account=account).first()
    if terms is None:
        return []
    words = []
    if terms.throughput is not None:
        words.append(("Throughput", f"{terms.throughput:,} a second"))
    if terms.daily_limit is not None:
        words.append(("Daily limit", f"{terms.daily_limit:,} messages, from midnight to midnight"))
    if terms.dispatch_from is not None and terms.dispatch_until is not None:
        until = f"{terms.dispatch_until:%H:%M}"
        over = " of the next day" if terms.dispatch_until < terms.dispatch_from else ""
        words.append(("Time of dispatch", f"{terms.dispatch_from:%H:%M} to {until}{over}, {account.time_zone}"))
    return words
