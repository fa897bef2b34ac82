"""Listening addresses: names, families, ports, and what cannot be listened on."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.web import listener
from tests.support.processes import COMMAND, KEYS, LOCAL, TIMEOUT, exporter, run


@contextmanager
def listening(*addresses: tuple[str, int]) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(one) for one in asyncio.run(listener.listen_all(addresses))]


def connects(host: str, port: int) -> None:
    socket.create_connection((host, port), timeout=TIMEOUT).close()


def test_an_address_in_use_is_named() -> None:
    with listening((LOCAL, 0)) as [taken]:
        port = taken.getsockname()[1]
        fault = f"cannot listen on {LOCAL}:{port}: Address already in use; see --web.listen-address"
        with pytest.raises(OSError, match=f"^{fault}$"), listening((LOCAL, 0), (LOCAL, port)):
            pass


def test_a_name_that_is_not_found_is_named() -> None:
    fault = "cannot listen on nowhere.invalid:0: .+; see --web.listen-address"
    with pytest.raises(OSError, match=f"^{fault}$"), listening(("nowhere.invalid", 0)):
        pass


@pytest.mark.parametrize("host", ["", "::"])
def test_every_address_is_every_address_of_both_kinds(host: str) -> None:
    with listening((host, 0)) as [opened]:
        for address in ("127.0.0.1", "::1"):
            connects(address, opened.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_host_is_served_with_one_line_in_the_log(host: str) -> None:
    with capture_logs() as logs, listening((host, 0)) as opened:
        ports = {one.getsockname()[1] for one in opened}
        connects(host, *ports)
    assert [(line["event"], line["host"], {line["port"]}) for line in logs] == [("serving", host, ports)]


def test_a_name_of_both_families_is_served_at_one_port_for_both() -> None:
    addresses = [(socket.AF_INET6, "::1"), (socket.AF_INET, LOCAL)]
    with ExitStack() as stack:
        six, four = listener.listeners(addresses, 0, stack)
        assert six.getsockname()[1] == four.getsockname()[1]
        for one in (six, four):
            connects(*one.getsockname()[:2])


def test_an_address_that_this_machine_lacks_is_left_out_where_another_serves() -> None:
    """As a name's IPv6 address is where IPv6 is off."""
    absent = (socket.AF_INET6, "2001:db8::1")
    with ExitStack() as stack:
        assert len(listener.listeners([absent, (socket.AF_INET, LOCAL)], 0, stack)) == 1
        with pytest.raises(OSError, match="annot assign requested address"):
            listener.listeners([absent], 0, stack)


def test_clients_that_do_not_acknowledge_an_answer_are_given_up_by_the_kernel() -> None:
    with listening((LOCAL, 0)) as [opened], socket.create_connection(opened.getsockname()):
        accepted, _ = opened.accept()
        with accepted:
            assert 0 < accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 45_000


def test_the_command_serves_every_address_that_it_is_given(tmp_path: Path) -> None:
    flags = "--web.listen-address", "[::1]:0"
    with exporter(*flags, environ=KEYS | {"HOME": str(tmp_path)}) as command:
        host, port = command.wait_for_log(r"host=(::1) port=([0-9]+)").groups()
        assert command.get("/-/healthy").status_code == 200
        connects(host, int(port))


def test_the_command_ends_where_one_address_cannot_be_listened_on(tmp_path: Path) -> None:
    with listening((LOCAL, 0)) as [taken]:
        address = f"{LOCAL}:{taken.getsockname()[1]}"
        flags = "--web.listen-address", f"{LOCAL}:0", "--web.listen-address", address
        code, _, errors = run(COMMAND, *flags, environ=KEYS | {"HOME": str(tmp_path)})
    fault = f"cannot listen on {address}: Address already in use; see --web.listen-address"
    assert code == 1
    assert f"cloud-browser-exporter: {fault}" in errors.splitlines()
