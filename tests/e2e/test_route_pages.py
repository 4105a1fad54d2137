"""Staff's pages about routes in a real browser: graphs that show what there is, figures that come by themselves."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from messaging.models import Route, RouteMinute
from tests.demo import log_in
from tests.e2e.test_staff_money import assert_fits

VIOLET = (124, 58, 237)  # of the line of receipt delays
# How many pixels of a canvas have exactly this colour.
COUNT = """(canvas, [red, green, blue]) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4)
        count += data[at] === red && data[at + 1] === green && data[at + 2] === blue && data[at + 3] === 255;
    return count;
}"""


def violet(graph: Locator) -> int:
    return int(graph.locator("canvas").evaluate(COUNT, list(VIOLET)))


@pytest.mark.usefixtures("stack_db")
def test_staff_see_how_a_route_does_while_it_does(
    open_page: Callable[..., Page], assert_accessible: Callable[[Page], None]
) -> None:
    route = Route.objects.create(code="seen", name="Seen")
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=90)
    RouteMinute.objects.create(route=route, minute=minute, sent=7, queued=3, receipt_seconds=2.5)
    page = open_page(viewport={"width": 1280, "height": 800})
    page.clock.install()
    log_in(page, "admin")
    page.goto(f"/admin/messaging/route/{route.pk}/health/")
    delays = page.get_by_role("figure").filter(has_text="Seconds from submit to receipt")
    assert violet(delays) > 5  # one minute alone is a point, for no line can be drawn

    RouteMinute.objects.filter(route=route).delete()
    Route.objects.filter(pk=route.pk).update(is_paused=True)
    expect(page.get_by_role("region", name="Now")).to_contain_text("No connector")
    page.clock.fast_forward(5_000)
    expect(page.get_by_role("region", name="Now")).to_contain_text("Paused")
    assert violet(delays) == 0

    for path in ("", "health/", f"{route.pk}/health/", "profit/?first=2026-01-01"):
        page.goto(f"/admin/messaging/route/{path}")
        for width in (1280, 380):
            page.set_viewport_size({"width": width, "height": 800})
            assert_fits(page)
            assert_accessible(page)
    route.delete()
