"""Rate cards of the demo: invented base prices of one part, with some prefixes longer than the country's code."""

from decimal import Decimal

from billing.models import Rate, RateCard

# (country, prefixes with a price in US dollars and who it is for).
_COUNTRIES: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    ("AE", (("971", "0.0410", ""),)),
    ("AT", (("43", "0.0670", ""),)),
    ("AU", (("61", "0.0460", ""), ("614", "0.0325", "Mobile"), ("614915", "0.0520", "Reserved numbers"))),
    ("BE", (("32", "0.0810", ""),)),
    ("BR", (("55", "0.0185", ""), ("5511", "0.0172", "São Paulo"))),
    ("CH", (("41", "0.0615", ""),)),
    ("CZ", (("420", "0.0530", ""),)),
    ("DE", (("49", "0.0760", ""), ("4915", "0.0735", "Telekom, O2"), ("4916", "0.0742", "Telekom"))),
    ("DK", (("45", "0.0450", ""),)),
    ("DO", (("1809", "0.0480", ""), ("1829", "0.0480", ""), ("1849", "0.0480", ""))),
    ("ES", (("34", "0.0500", ""), ("346", "0.0472", "Mobile"))),
    ("FI", (("358", "0.0690", ""),)),
    ("FR", (("33", "0.0560", ""), ("336", "0.0518", "Mobile"), ("337", "0.0518", "Mobile"))),
    ("GB", (("44", "0.0400", ""), ("447", "0.0362", "Mobile"), ("447624", "0.0910", "Isle of Man"))),
    ("GG", (("447781", "0.0960", "Guernsey"),)),
    ("GR", (("30", "0.0580", ""),)),
    ("HK", (("852", "0.0590", ""),)),
    ("ID", (("62", "0.3150", ""), ("62811", "0.2980", "Telkomsel"))),
    ("IE", (("353", "0.0550", ""),)),
    ("IL", (("972", "0.0470", ""),)),
    ("IN", (("91", "0.0049", ""),)),
    ("IT", (("39", "0.0660", ""), ("393", "0.0620", "Mobile"))),
    ("JM", (("1876", "0.0620", ""), ("1658", "0.0620", ""))),
    ("JP", (("81", "0.0720", ""),)),
    ("MX", (("52", "0.0175", ""),)),
    ("MY", (("60", "0.0430", ""),)),
    ("NL", (("31", "0.0780", ""), ("316", "0.0764", "Mobile"))),
    ("NO", (("47", "0.0560", ""),)),
    ("NZ", (("64", "0.0620", ""), ("6421", "0.0598", "One NZ"), ("6422", "0.0585", "2degrees"))),
    ("PH", (("63", "0.0345", ""), ("63917", "0.0332", "Globe"))),
    ("PL", (("48", "0.0330", ""),)),
    ("PT", (("351", "0.0420", ""),)),
    ("SE", (("46", "0.0520", ""),)),
    ("SG", (("65", "0.0390", ""),)),
    ("TH", (("66", "0.0210", ""),)),
    ("US", (("1", "0.0075", ""),)),
    ("ZA", (("27", "0.0215", ""),)),
)  # fmt: skip

# Canada shares the United States' code; its area codes tell it apart.
_CANADA = (
    "204 226 236 249 250 263 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450 468 474 506 514 519 548 "
    "579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873 879 902 905"
)
_CANADA_PRICE = "0.0082"

# What a US dollar costs in the card's currency, for prices that differ as real ones do; no exchange in the ledger.
_PER_DOLLAR = {"AUD": "1.52", "USD": "1", "EUR": "0.92", "GBP": "0.79"}


def load_rate_cards() -> None:
    """Make the default card of each currency; one that is there already keeps its prices."""
    for currency, factor in _PER_DOLLAR.items():
        card, made = RateCard.objects.get_or_create(
            currency=currency, is_default=True, defaults={"name": f"Standard {currency}"}
        )
        if made:
            Rate.objects.bulk_create(_rates(card, Decimal(factor)))


def _rates(card: RateCard, factor: Decimal) -> list[Rate]:
    listed = [(country, *line) for country, lines in _COUNTRIES for line in lines]
    listed += [("CA", f"1{area}", _CANADA_PRICE, "") for area in _CANADA.split()]
    return [
        Rate(rate_card=card, prefix=prefix, country=country, label=label, price=round(Decimal(price) * factor, 4))
        for country, prefix, price, label in listed
    ]
