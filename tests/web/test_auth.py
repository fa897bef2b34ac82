"""Basic authentication, on real sockets: every path asks for a password, while there are users."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
from aiohttp import web

from exporter.web.auth import REALM, basic_auth, refusal
from exporter.web.passwords import WAITING, Passwords
from exporter.web.reloading import ReloadingWebConfig
from tests.support.certificates import web_file
from tests.support.password_checks import Recorder, basic
from tests.support.web_servers import Client, Front

HASH = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
RIGHT = basic(b"anna", b"right")


class Guarded:
    """A site behind passwords, with one page, and what was asked of it."""

    def __init__(self, web_config: ReloadingWebConfig) -> None:
        self._config = web_config
        self.asked: list[str] = []

    def app(self) -> web.Application:
        app = web.Application(middlewares=[basic_auth(self._config)])
        app.router.add_get("/metrics", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.method)
        return web.Response()


@contextmanager
def guarded(folder: Path, users: dict[str, str] | None) -> Iterator[Front[Guarded]]:
    with Front(Guarded(ReloadingWebConfig.open(web_file(folder, users=users)))) as front:
        yield front


def lines(*authorization: bytes) -> str:
    return "".join(f"Authorization: {one.decode()}\r\n" for one in authorization)


def ask(client: Client, *authorization: bytes, method: str = "GET", path: str = "/metrics") -> int:
    client.request(path, method, lines(*authorization))
    return client.answer(body=method != "HEAD")[0]


def test_without_the_right_password_nobody_gets_in_and_the_answer_asks_for_one(tmp_path: Path) -> None:
    with guarded(tmp_path, {"anna": HASH}) as front:
        for given in ((), (b"",), (basic(b"anna", b"wrong"),), (b"Bearer " + RIGHT[6:],)):
            with front.client() as client:
                client.request("/metrics", headers=lines(*given))
                status, headers, body = client.answer()
                assert (status, headers["www-authenticate"], body) == (401, REALM, b"Unauthorized\n")
                assert headers["x-content-type-options"] == "nosniff"
        assert front.site.asked == []


def test_two_passwords_at_once_are_none(tmp_path: Path) -> None:
    with guarded(tmp_path, {"anna": HASH}) as front, front.client() as client:
        assert ask(client, RIGHT, RIGHT) in (400, 401)
        assert front.site.asked == []


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/reload", "/elsewhere"])
def test_every_path_is_protected(tmp_path: Path, path: str) -> None:
    with guarded(tmp_path, {"anna": HASH}) as front, front.client() as client:
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            assert ask(client, method=method, path=path) == 401
            assert ask(client, RIGHT, method=method, path=path) in (200, 404, 405)
        assert front.site.asked == (["GET", "HEAD"] if path == "/metrics" else [])


def test_without_users_everybody_gets_in(tmp_path: Path) -> None:
    with guarded(tmp_path, None) as front, front.client() as client:
        assert ask(client) == 200


def test_a_flood_is_told_to_come_back(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.gate.clear()
    config = ReloadingWebConfig(web_file(tmp_path, users={"anna": HASH}), Passwords(recorder.check))

    async def statuses() -> list[int]:
        flood = [refusal(config, [basic(b"anna", b"%d" % number)]) for number in range(WAITING + 1)]
        tasks = [asyncio.ensure_future(one) for one in flood]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        recorder.gate.set()
        return [refused.status for refused in await asyncio.gather(*tasks) if refused is not None]

    assert sorted(asyncio.run(statuses())) == [401] * WAITING + [503]
