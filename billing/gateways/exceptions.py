"""What can go wrong at a card processor; ``str(error)`` is a sentence for the customer, ``detail`` is for the log."""

from billing.exceptions import BillingError


class GatewayError(BillingError):
    """Base of every gateway failure, and what an answer that we cannot use becomes."""

    sentence = "The card payment service answered with an error. Nothing was charged; please try again."

    def __init__(self, detail: str = "") -> None:
        super().__init__(self.sentence)
        self.detail = detail


class GatewayUnavailable(GatewayError):
    """Time-out, refused connection, 5xx or rate limit: the same call may succeed later."""

    sentence = "The card payment service cannot be reached just now. Nothing was charged; please try again in a minute."


class GatewayMisconfigured(GatewayError):
    """The processor refuses our key or our account; only the platform's operator can mend that."""

    sentence = "Card payments are not set up correctly on this portal. Nothing was charged; please tell its operator."


class GatewayRefused(GatewayError):
    """The processor understood the call and said no (wrong parameter, session already finished)."""

    sentence = "The card payment service refused this payment. Nothing was charged."


class CardDeclined(GatewayRefused):
    """The bank said no to a card; its own sentence goes to the customer. ``needs_customer``: it would say yes if its
    customer approved the payment."""

    def __init__(self, sentence: str, *, code: str = "") -> None:
        self.sentence = sentence or "The bank declined the card."
        super().__init__(f"{code}: {self.sentence}")
        self.needs_customer = code == "authentication_required"


class InvalidSignature(GatewayError):
    """A webhook that the processor did not sign, signed with another secret, or signed too long ago."""

    sentence = "The webhook's signature is not valid."


class FractionOfMinorUnit(GatewayError):
    """An amount that the currency has no coin for, so a card cannot be charged exactly that much."""

    def __init__(self, amount: object, currency: str, step: object) -> None:
        self.sentence = f"{amount} {currency} cannot be charged to a card: amounts go in steps of {step} {currency}."
        super().__init__()
