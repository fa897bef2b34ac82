"""Calls in threads that the end of the process does not wait for."""

from threading import Event, current_thread

import pytest

from exporter.threads import in_thread
from tests.support.scripted_provider import Threads


def test_a_call_has_a_daemon_thread_of_its_name_and_its_result_is_in_the_future() -> None:
    gate = Event()
    waiting = in_thread("waits", lambda: (gate.wait(), current_thread().daemon, current_thread().name))
    assert not waiting.done()
    gate.set()
    assert waiting.result() == (True, True, "waits")


def test_an_exception_is_raised_where_the_result_is_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        in_thread("fails", lambda: 1 // 0).result()


def test_without_a_thread_nothing_is_called() -> None:
    threads, called = Threads(), Event()
    threads.none_left = True
    with pytest.raises(RuntimeError):
        in_thread("never", called.set, threads)
    assert not called.is_set()
