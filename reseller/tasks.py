"""Tasks of the portal itself: the heartbeat of every queue."""

from celery import shared_task

from reseller import health


@shared_task
def heartbeat(queue: str) -> None:
    """Prove that beat, broker and a worker of ``queue`` work together; runs in that queue every few seconds."""
    health.renew(health.BEAT_KEY, health.QUEUE_KEY.format(queue=queue))
