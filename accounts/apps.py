from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        """Before any connection is opened."""
        from accounts import arrays

        arrays.register()
