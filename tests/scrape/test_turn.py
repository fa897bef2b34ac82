"""Scrapes come first; an import goes on between them."""

from threading import Event, Thread

from exporter.scrape.turn import Turn


def scraping(turn: Turn, inside: Event, leave: Event) -> Thread:
    def run() -> None:
        with turn.scrape():
            inside.set()
            leave.wait()

    thread = Thread(target=run)
    thread.start()
    return thread


def test_a_scrape_that_waits_ends_the_import() -> None:
    turn, inside, leave = Turn(), Event(), Event()
    turn.allow_import()
    with turn.importing() as stop:
        assert stop is not None
        assert not stop.done()
        thread = scraping(turn, inside, leave)
        assert stop.result(10) is None
        assert not inside.is_set()
    assert inside.wait(10)
    leave.set()
    thread.join()


def test_while_another_thread_reads_no_import_begins() -> None:
    turn, inside, leave = Turn(), Event(), Event()
    turn.allow_import()
    thread = scraping(turn, inside, leave)
    inside.wait(10)
    with turn.importing() as stop:
        assert stop is None
    leave.set()
    thread.join()
    with turn.importing() as stop:
        assert stop is not None


def test_an_import_that_was_stopped_begins_again_when_it_is_allowed() -> None:
    turn = Turn()
    turn.allow_import()
    with turn.importing() as stop:
        turn.stop_import()
        assert stop is not None
        assert stop.done()
    with turn.importing() as stop:
        assert stop is None
    turn.allow_import()
    with turn.importing() as stop:
        assert stop is not None


def test_joining_waits_for_whoever_has_the_turn_but_not_for_long() -> None:
    turn, inside, leave = Turn(), Event(), Event()
    thread = scraping(turn, inside, leave)
    inside.wait(10)
    turn.join(0.01)
    leave.set()
    turn.join()
    thread.join()
