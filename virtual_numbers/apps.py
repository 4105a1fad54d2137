from django.apps import AppConfig


class VirtualNumbersConfig(AppConfig):
    # The package cannot be called ``numbers``: that would shadow Python's own module and break ``decimal``.
    name = "virtual_numbers"
    label = "numbers"
    verbose_name = "Virtual numbers"
