from django.apps import AppConfig


class KeywordsConfig(AppConfig):
    name = "keywords"

    def ready(self) -> None:
        """Numbers know nothing of keywords, which end when their number leaves their account; forecasts of no price."""
        from billing.forecasts import one_by_one, register_prices
        from keywords.services.keywords import end_keywords_on
        from keywords.services.renewals import price_of
        from virtual_numbers.services.leasing import when_holder_leaves

        when_holder_leaves(end_keywords_on)
        register_prices("keyword", one_by_one(price_of))
