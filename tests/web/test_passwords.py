"""Passwords: who may pass, what a check costs, and what a flood of wrong ones cannot do."""

import asyncio
import base64
from collections.abc import Coroutine
from typing import Any, TypeVar

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.secrets import parse_bcrypt_hash
from exporter.web.passwords import (
    HEADER_BYTES,
    WAITING,
    WRONG_KEPT,
    BusyError,
    Credentials,
    Passwords,
    credentials,
)
from tests.support.examples import examples
from tests.support.password_checks import RIGHT, WRONG, Recorder, basic, hashed

T = TypeVar("T")


def recorded(**users: bytes) -> tuple[Passwords, Recorder]:
    recorder = Recorder()
    passwords = Passwords(recorder.check)
    passwords.replace({name.encode(): given for name, given in users.items()})
    return passwords, recorder


def run(asked: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asked)


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
def test_the_right_password_is_admitted_and_no_other(prefix: bytes) -> None:
    async def asked() -> list[bool]:
        passwords = Passwords()
        passwords.replace({b"anna": hashed(RIGHT, prefix=prefix), b"bert": hashed(WRONG)})
        pairs = [(b"anna", RIGHT), (b"anna", WRONG), (b"bert", RIGHT), (b"carl", RIGHT), (b"anna", b"")]
        return [await passwords.authenticate(basic(*pair)) for pair in pairs]

    assert run(asked()) == [True, False, False, False, False]


def test_a_password_may_be_of_any_bytes_and_hold_a_colon() -> None:
    async def asked() -> list[bool]:
        odd = {"jörg".encode(): b"a:b", b"bert": b"\xff\xfe", b"long": b"x" * 72}
        passwords = Passwords()
        passwords.replace({name: hashed(password) for name, password in odd.items()})
        return [await passwords.authenticate(basic(*pair)) for pair in odd.items()]

    assert run(asked()) == [True, True, True]


@pytest.mark.parametrize(
    ("anna", "bert", "costs"),
    [(4, 4, [4]), (10, 10, [10]), (4, 6, [4, 4, 5]), (5, 9, [5, 5, 6, 7, 8])],
)
def test_every_name_costs_the_same(anna: int, bert: int, costs: list[int]) -> None:
    made = {"anna": hashed(RIGHT).replace(b"$04$", b"$%02d$" % anna)}
    made["bert"] = hashed(RIGHT).replace(b"$04$", b"$%02d$" % bert)
    for user, password, expected in (
        (b"nobody", WRONG, [bert]),
        (b"bert", WRONG, [bert]),
        (b"anna", WRONG, costs),
        (b"nobody", b"x" * 73, [bert]),
        (b"bert", b"x" * 73, [bert]),
        (b"bert", b"", [bert]),
    ):
        passwords, recorder = recorded(**made)
        assert not run(passwords.authenticate(basic(user, password)))
        assert recorder.costs == expected
    assert sum(2**cost for cost in costs) == 2**bert


def test_what_bcrypt_cannot_take_is_wrong_even_where_its_beginning_is_right() -> None:
    passwords, recorder = recorded(anna=hashed(b"x" * 72))
    assert not run(passwords.authenticate(basic(b"anna", b"x" * 73)))
    assert recorder.passwords == [b"x" * 72]


def test_a_name_that_is_not_there_is_not_admitted_whatever_the_check_says() -> None:
    passwords = Passwords(lambda _password, _hash: True)
    passwords.replace({b"anna": hashed(RIGHT)})
    assert not run(passwords.authenticate(basic(b"nobody", RIGHT)))
    assert run(passwords.authenticate(basic(b"anna", RIGHT)))


def test_a_result_is_kept_right_or_wrong() -> None:
    async def asked() -> list[bool]:
        pairs = [(b"anna", RIGHT), (b"anna", WRONG), (b"nobody", RIGHT)] * 3
        return [await passwords.authenticate(basic(*pair)) for pair in pairs]

    passwords, recorder = recorded(anna=hashed(RIGHT))
    assert run(asked()) == [True, False, False] * 3
    assert recorder.costs == [4, 4, 4]


def test_no_password_is_kept_in_plain() -> None:
    async def asked() -> None:
        for password in (RIGHT, WRONG):
            await passwords.authenticate(basic(b"anna", password))

    passwords = Passwords()
    passwords.replace({b"anna": hashed(RIGHT)})
    run(asked())
    kept = repr(vars(passwords)).encode()
    assert b"_valid_cache" in kept
    assert RIGHT not in kept
    assert WRONG not in kept
    assert repr(Credentials(b"anna", RIGHT)) == "Credentials(...)"


def test_wrong_ones_do_not_fill_the_memory_nor_drive_a_right_one_out() -> None:
    async def asked() -> None:
        assert await passwords.authenticate(basic(b"anna", RIGHT))
        for number in range(WRONG_KEPT + 1):
            assert not await passwords.authenticate(basic(b"nobody", b"%d" % number))
        checks = len(recorder.costs)
        assert await passwords.authenticate(basic(b"anna", RIGHT))
        assert not await passwords.authenticate(basic(b"nobody", b"1"))
        assert len(recorder.costs) == checks
        assert not await passwords.authenticate(basic(b"nobody", b"0"))  # the oldest is forgotten
        assert len(recorder.costs) == checks + 1

    passwords, recorder = recorded(anna=hashed(RIGHT))
    run(asked())


def test_a_flood_has_an_end_and_holds_up_nobody_who_is_known() -> None:
    async def asked() -> None:
        assert await passwords.authenticate(basic(b"anna", RIGHT))
        recorder.gate.clear()
        flood = [passwords.authenticate(basic(b"nobody", b"%d" % number)) for number in range(WAITING + 10)]
        tasks = [asyncio.ensure_future(one) for one in flood]
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert await passwords.authenticate(basic(b"anna", RIGHT))
        with pytest.raises(BusyError):
            await passwords.authenticate(basic(b"bert", RIGHT))
        recorder.gate.set()
        refused = [isinstance(one.exception(), BusyError) for one in done]
        assert (refused, len(waiting)) == ([True] * 10, WAITING)
        assert await asyncio.gather(*waiting) == [False] * WAITING
        assert await passwords.authenticate(basic(b"bert", RIGHT))

    passwords, recorder = recorded(anna=hashed(RIGHT), bert=hashed(RIGHT))
    run(asked())


def test_one_check_runs_at_a_time_and_serves_all_who_ask_the_same() -> None:
    async def asked() -> None:
        recorder.gate.clear()
        tasks = [
            asyncio.ensure_future(passwords.authenticate(basic(b"anna", RIGHT))) for _ in range(WAITING * 2)
        ]
        other = asyncio.ensure_future(passwords.authenticate(basic(b"anna", WRONG)))
        await asyncio.to_thread(recorder.begun.wait, 60)
        tasks[0].cancel()  # a client that leaves takes nobody else along
        recorder.gate.set()
        assert await asyncio.gather(*tasks[1:]) == [True] * (WAITING * 2 - 1)
        assert not await other

    passwords, recorder = recorded(anna=hashed(RIGHT))
    run(asked())
    assert recorder.costs == [4, 4]


def test_users_are_replaced_and_what_was_known_of_them_forgotten() -> None:
    async def asked() -> list[bool]:
        answers = [await passwords.authenticate(basic(b"anna", RIGHT))]
        for users in ({b"anna": second}, {b"bert": second}, {b"anna": first}, {b"anna": first}):
            passwords.replace(users)
            answers += [await passwords.authenticate(basic(b"anna", one)) for one in (RIGHT, WRONG)]
        return answers

    first, second = hashed(RIGHT), hashed(WRONG)
    passwords, recorder = recorded(anna=first)
    assert run(asked()) == [True, False, True, False, False, True, False, True, False]
    assert len(recorder.costs) == 7  # the last were the same users


def test_a_check_that_users_were_replaced_under_says_nothing_of_the_new_ones() -> None:
    async def asked() -> list[bool]:
        recorder.gate.clear()
        before = asyncio.ensure_future(passwords.authenticate(basic(b"anna", RIGHT)))
        await asyncio.to_thread(recorder.begun.wait, 60)
        passwords.replace({b"anna": hashed(WRONG)})
        recorder.gate.set()
        return [await before, await passwords.authenticate(basic(b"anna", RIGHT))]

    passwords, recorder = recorded(anna=hashed(RIGHT))
    assert run(asked()) == [True, False]


def test_what_waits_when_the_loop_ends_is_not_checked() -> None:
    async def left() -> None:
        for number in range(10):
            task = asyncio.ensure_future(passwords.authenticate(basic(b"anna", b"%d" % number)))
            tasks.append(task)
        await asyncio.to_thread(recorder.begun.wait, 60)

    tasks: list[asyncio.Future[bool]] = []
    passwords, recorder = recorded(anna=hashed(RIGHT))
    recorder.gate.clear()
    run(left())
    recorder.gate.set()
    assert run(passwords.authenticate(basic(b"anna", RIGHT)))
    assert len(recorder.costs) == 2


@pytest.mark.parametrize(
    "header",
    [
        b"", b"Basic", b"Basic ", b"Basic =", b"Basic YTpi!", b"Basic \xff\xfe", b"Basic YW5uYQ==",
        b"Bearer YTpi", b"BasicYTpi", b"Basic\tYTpi", b"Basic YTpi, Basic YTpi", b"Basic YQA6Yg==",
        b"Basic YTpiAA==", b"Basic " + base64.b64encode(b"a:" + b"x" * HEADER_BYTES),
    ],
)  # fmt: skip
def test_a_malformed_header_admits_nobody_and_costs_nothing(header: bytes) -> None:
    passwords, recorder = recorded(a=hashed(b"b"))
    assert credentials(header) is None
    assert not run(passwords.authenticate(header))
    assert recorder.costs == []


@pytest.mark.parametrize("header", [b"Basic YTpi", b"basic YTpi", b"BASIC   YTpi", b"Basic YTpi "])
def test_a_well_made_header_is_taken_apart(header: bytes) -> None:
    assert credentials(header) == Credentials(b"a", b"b")


HEADERS = st.binary(max_size=80).map(lambda token: b"Basic " + base64.b64encode(token))
EDITS = st.tuples(st.integers(0, 60), st.integers(0, 3), st.binary(max_size=3))


@examples(10_000)
@given(st.binary(max_size=100) | HEADERS, st.none() | EDITS)
def test_any_header_is_taken_apart_or_refused(header: bytes, edit: tuple[int, int, bytes] | None) -> None:
    if edit is not None:
        at, cut, put = edit
        header = header[:at] + put + header[at + cut :]
    given_ = credentials(header)
    if given_ is not None:
        assert b":" not in given_.user
        assert b"\0" not in given_.user + given_.password
        assert credentials(basic(given_.user, given_.password)) == given_


@given(st.binary(max_size=72).filter(lambda password: b"\0" not in password))
def test_any_password_that_bcrypt_takes_can_be_checked(password: bytes) -> None:
    passwords, _ = recorded(anna=hashed(RIGHT))
    assert run(passwords.authenticate(basic(b"anna", password))) == (password == RIGHT)


@examples(300)
@given(st.from_regex(r"\$2[aby]\$0[0-9]\$[./A-Za-z0-9]{53}", fullmatch=True))
def test_every_hash_that_is_read_is_one_that_bcrypt_takes(text: str) -> None:
    try:
        secret = parse_bcrypt_hash(text)
    except ValueError:
        return
    bcrypt.checkpw(b"", secret.reveal().replace(text[:7], "$2b$04$").encode())
