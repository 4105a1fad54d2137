from decimal import Decimal

import pytest

from billing.exceptions import NoPrice, NotAllowed, NotLocal
from billing.models import BillingTerms, CountryMargin, Quote, RateOverride
from billing.services.pricing import PriceList
from billing.services.terms import update_terms
from tests.cast import make_client, make_rates

D = Decimal


def test_the_longest_prefix_wins(reseller):
    prices = PriceList(reseller.account)
    assert prices.price_of("+61412345678").price == D("0.05")
    assert prices.price_of("+61491570156").price == D("0.08")
    assert prices.price_of("+447700900123").country == "GB"


def test_a_destination_without_a_rate_is_refused_never_free(reseller):
    with pytest.raises(NoPrice):
        PriceList(reseller.account).price_of("+4915112345678")


def test_a_rate_card_of_another_currency_prices_nothing(reseller):
    BillingTerms.objects.filter(account=reseller.account).update(rate_card=make_rates("USD"))
    with pytest.raises(NoPrice, match="There is no rate card for AUD"):
        PriceList(reseller.account).price_of("+61412345678")


def test_a_direct_client_pays_its_rate_card_whatever_margin_is_stored(reseller):
    update_terms(terms=reseller.account.billing_terms, actor=None, sms_margin=D("9"))
    assert PriceList(reseller.account).price_of("+61412345678").price == D("0.05")


def test_an_override_goes_before_the_rate_card_and_keeps_the_country(reseller):
    RateOverride.objects.create(account=reseller.account, prefix="6141", price=D("0.031"))
    price = PriceList(reseller.account).price_of("+61412345678")
    assert (price.price, price.country, price.prefix) == (D("0.031"), "AU", "6141")


def test_each_level_adds_its_margin_and_earns_the_difference(reseller):
    client = make_client(reseller)
    client.account.can_have_children = True
    client.account.save(update_fields=["can_have_children"])
    grandchild = make_client(client, "Grandchild", sms_margin=D("0.005001"))
    price = PriceList(grandchild.account).price_of("+6421123456")
    assert [level for _, level in price.chain] == [D("0.012345"), D("0.032345"), D("0.037346")]
    assert price.earnings() == {reseller.account.pk: D("0.02"), client.account.pk: D("0.005001")}
    assert price.display_price is None


def test_a_billed_client_is_paid_by_its_parent_and_shows_the_display_price(reseller, billed_member):
    prices = PriceList(billed_member.account)
    price = prices.price_of("+61412345678")
    assert prices.payer == reseller.account
    assert (price.price, price.display_price) == (D("0.05"), D("0.09"))
    assert price.earnings() == {}


def test_billing_to_the_parent_is_recursive(reseller, billed_member):
    billed_member.account.can_have_children = True
    billed_member.account.save(update_fields=["can_have_children"])
    lower = make_client(
        billed_member, "Lower", method="bill_to_parent", minimum_topup=None, daily_topup_limit=None, sms_margin=D(0)
    )
    prices = PriceList(lower.account)
    assert prices.payer == reseller.account
    assert prices.price_of("+61412345678").price == D("0.05")


def test_sms_credits_cost_one_a_part_and_stay_in_the_country(reseller):
    client = make_client(reseller, method=BillingTerms.Method.SMS_CREDITS)
    prices = PriceList(client.account)
    price = prices.price_of("+61412345678")
    assert (prices.currency, prices.payer, price.price, price.earnings()) == ("SMS", client.account, D(1), {})
    assert price.display_price is None
    with pytest.raises(NotLocal, match="numbers of Australia only"):
        prices.price_of("+6421123456")


def test_a_margin_for_a_country_goes_before_the_general_one(client_member):
    CountryMargin.objects.create(account=client_member.account, country="GB", sms_margin=D("0.1"))
    prices = PriceList(client_member.account)
    assert prices.price_of("+447700900123").price == D("0.13")
    assert prices.price_of("+61412345678").price == D("0.07")


def test_the_platform_pays_for_nobody(reseller):
    """Whatever the table says: the services let nobody be saved so (test_terms_admin)."""
    BillingTerms.objects.filter(account=reseller.account).update(method=BillingTerms.Method.BILL_TO_PARENT)
    with pytest.raises(NotAllowed, match="pays for no client"):
        PriceList(reseller.account)


def test_quotes_are_stored_once_and_keep_their_price_when_rates_change(client_member):
    prices = PriceList(client_member.account)
    first = prices.save_quotes([prices.price_of("+61412345678")])["61"]
    again = PriceList(client_member.account)
    assert again.save_quotes([again.price_of("+61400000000")])["61"].pk == first.pk
    update_terms(terms=client_member.account.billing_terms, actor=None, sms_margin=D("0.03"))
    later = PriceList(client_member.account)
    second = later.save_quotes([later.price_of("+61412345678")])["61"]
    assert second.pk != first.pk
    assert Quote.objects.get(pk=first.pk).unit_price == D("0.07")
    assert second.chain[-1] == [client_member.account.pk, "0.080000"]
