"""The server on real sockets: addresses, limits, and how it ends."""

import pytest

from exporter.server import listener


def test_an_address_in_use_is_said() -> None:
    with listener("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use; see --web"
        ):
            listener("127.0.0.1", port)


@pytest.mark.parametrize("host", ["", "127.0.0.1", "localhost"])
def test_addresses_that_can_be_listened_on(host: str) -> None:
    with listener(host, 0) as opened:
        assert opened.getsockname()[1] > 0
