from django.apps import AppConfig


class ResellerConfig(AppConfig):
    name = "reseller"

    def ready(self) -> None:
        """Make the Celery application current, so that every task call of this process reaches its broker."""
        from reseller import celery  # noqa: F401
