from django.apps import AppConfig


class ResellerConfig(AppConfig):
    name = "reseller"

    def ready(self) -> None:
        """Make the Celery application current, so that task calls reach its broker, and register the checks."""
        from reseller import celery, checks  # noqa: F401
