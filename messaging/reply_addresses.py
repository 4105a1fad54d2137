"""Mail addresses that stand for a conversation: what is answered to a forwarded message will find its way back.

reply+<code>.<seal>@<settings.REPLY_MAIL_DOMAIN>; the seal proves that this portal has given the address out, so nobody
can write into a conversation whose code they have guessed or seen.
"""

import re

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

from messaging.models import Conversation

_ADDRESS = re.compile(r"reply\+(\w{1,12})\.([0-9a-f]{20})@(.+)", re.IGNORECASE)


def reply_address(conversation: Conversation) -> str:
    """The address to answer to; "" while no mail comes in (no REPLY_MAIL_DOMAIN)."""
    domain = settings.REPLY_MAIL_DOMAIN
    return f"reply+{conversation.code}.{_seal(conversation.code)}@{domain}" if domain else ""


def conversation_of(address: str) -> Conversation | None:
    """The conversation that a mail to ``address`` is for; None for an address that this portal has not given out."""
    found = _ADDRESS.fullmatch(address.strip())
    if found is None or found[3].lower() != settings.REPLY_MAIL_DOMAIN.lower():
        return None
    code = found[1].upper()
    if not constant_time_compare(_seal(code), found[2].lower()):
        return None
    return Conversation.objects.filter(code=code).first()


def _seal(code: str) -> str:
    return salted_hmac("messaging.reply_addresses", code, algorithm="sha256").hexdigest()[:20]
