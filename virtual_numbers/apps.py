from django.apps import AppConfig


class VirtualNumbersConfig(AppConfig):
    # The package cannot be called ``numbers``: that would shadow Python's own module and break ``decimal``.
    name = "virtual_numbers"
    label = "numbers"
    verbose_name = "Virtual numbers"

    def ready(self) -> None:
        from billing.forecasts import register_prices  # models are loaded by now
        from virtual_numbers.prices import prices_of

        register_prices("number", prices_of)
