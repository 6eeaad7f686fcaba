"""GET /metrics in the text format of Prometheus. It needs no token, as a scraper has none, and tells of no owner."""

from collections.abc import Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.actions import figures
from app.actions.access import Unavailable
from app.actions.figures import Figures
from app.actions.live import Hub
from app.actions.scans import ScanStatus
from app.context import Services


class _Once(Collector):
    """What one scrape found."""

    def __init__(self, found: Figures | None, streams: int) -> None:
        self._found, self._streams = found, streams

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("steelyard_up", "1 while the database answers.", value=int(self._found is not None))
        yield GaugeMetricFamily("steelyard_streams", "Subscribers of this process.", value=self._streams)
        if self._found:
            yield from _metrics(self._found)


def _metrics(found: Figures) -> Iterator[Metric]:
    runs = {status.value: 0 for status in ScanStatus} | dict(found.runs)
    yield _gauge(
        "steelyard_scan_oldest_unscanned_seconds",
        "Age of the oldest bucket that is due and neither scanned nor recorded as missed; 0 when there is none.",
        found.oldest_unscanned_s,
    )
    yield _gauges("steelyard_scan_runs", "Runs of the health monitor.", "status", runs)
    yield CounterMetricFamily("steelyard_scan_missed", "Buckets that nobody scanned.", value=runs["MISSED"])
    yield _gauges("steelyard_scan_portfolios", "Portfolios of the newest run.", "state", found.last)
    yield _gauges("steelyard_alerts_open", "Alerts that are not resolved.", "kind", found.alerts)
    yield _gauge(
        "steelyard_event_backlog_seconds", "Age of the oldest event that waits to be told.", found.event_backlog_s
    )
    yield _gauge(
        "steelyard_price_backlog_seconds", "Age of the oldest price not looked at for alerts.", found.tick_backlog_s
    )


def _gauge(name: str, text: str, value: object) -> Metric:
    return GaugeMetricFamily(name, text, value=float(str(value)))


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def routes(services: Services, hub: Hub) -> list[Route]:
    """Return the route, unless the settings want none."""
    process = ProcessCollector(registry=None)

    async def answer(_: Request) -> Response:
        try:
            found = await figures.read(services)
        except Unavailable:
            found = None
        registry = CollectorRegistry()
        registry.register(process)
        registry.register(_Once(found, hub.streams))
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return [Route("/metrics", answer)] if services.settings.metrics else []
