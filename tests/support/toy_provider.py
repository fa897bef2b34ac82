"""A provider that only tests know: `GET /fleet` answers `{"ID": [STATE, BEGUN, ENDED]}`, times in seconds.

python -m tests.support.toy_provider FLAGS    # the exporter's command, with this provider beside the others
"""

import sys
from typing import Annotated

import msgspec

from exporter.cli import main
from exporter.client.api import Api
from exporter.config.loader import printable
from exporter.model import SECOND, Listing, ProviderTraits, ReadWindow, Series, Session, Usage
from exporter.providers import PROVIDERS
from exporter.providers.base import Prices, Provider

NOW = 1_800_000_000


class Options(msgspec.Struct, frozen=True):
    zone: Annotated[str, printable(20)] = "north"
    pricing: Prices = None


class FleetReader:
    def __init__(self, api: Api, options: Options, _metadata: object) -> None:
        self._api, self._series = api, Series("", options.zone)

    def read(self, _window: ReadWindow, deadline: float) -> Listing:
        body = self._api.get("/fleet", {}, deadline).body
        rows = msgspec.json.decode(body, type=dict[str, tuple[str, int, int | None]])
        sessions = tuple(self._session(name, *row) for name, row in rows.items())
        listed: dict[tuple[Series, str], int] = {}
        for one in sessions:
            listed[one.series, one.status] = listed.get((one.series, one.status), 0) + 1
        return Listing(NOW * SECOND, sessions, listed, covers=NOW * SECOND)

    def committed(self) -> None:
        pass

    def _session(self, name: str, state: str, begun: int, ended: int | None) -> Session:
        return Session(
            id=name,
            series=self._series,
            status=state,
            created=begun * SECOND,
            usage=Usage(((ended or NOW) - begun) * SECOND),
            started=begun * SECOND,
            ended=None if ended is None else ended * SECOND,
            ending=None if ended is None else state,
        )


TOY = Provider(
    traits=ProviderTraits(
        name="toy",
        open_statuses=("spinning",),
        ended_statuses=("fallen", "caught"),
        endings=("fallen", "caught", "unknown"),
        regions=("north", "south"),
        cost_source="estimated",
    ),
    title="Toy",
    base_url="http://127.0.0.1:9",
    key_header="X-Toy-Key",
    endpoints=("/fleet",),
    open=FleetReader,
    options=Options,
)

if __name__ == "__main__":
    sys.exit(main(providers={**PROVIDERS, TOY.name: TOY}))
