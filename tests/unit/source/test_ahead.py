"""Reading ahead changes when pages are read, and nothing else."""

from __future__ import annotations

import threading

import pytest

from sync_profiles.core.types import Page, ScanFull
from sync_profiles.errors import TemporaryError
from sync_profiles.source.ahead import ReadAhead

PLAN = ScanFull("test")


class Pages:
    """A source of ``count`` pages that says which have been read, and may fail after them."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error = count, error
        self.read_pages = 0
        self.closed = threading.Event()

    def pages(self, plan, part=None):
        try:
            for number in range(self.count):
                self.read_pages += 1
                yield Page([str(number)], [(number,)])
            if self.error:
                raise self.error
        finally:
            self.closed.set()


@pytest.mark.parametrize("meanwhile", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_the_same_pages_come_in_the_same_order(count, meanwhile):
    assert list(ReadAhead(Pages(count), meanwhile=meanwhile).pages(PLAN)) == list(Pages(count).pages(PLAN))


def test_a_database_that_is_part_of_this_process_is_read_by_the_thread_that_takes_the_pages():
    source = Pages(100)
    for number, _ in enumerate(ReadAhead(source, meanwhile=False).pages(PLAN), start=1):
        assert source.read_pages == number


def test_what_reading_raises_is_raised_after_the_pages_before_it():
    taken = []
    with pytest.raises(TemporaryError):
        taken.extend(page.keys[0] for page in ReadAhead(Pages(3, TemporaryError("away"))).pages(PLAN))
    assert taken == ["0", "1", "2"]


def test_it_is_at_most_two_pages_ahead_of_the_one_that_is_worked_on():
    source = Pages(100)
    for number, _ in enumerate(ReadAhead(source).pages(PLAN), start=1):
        assert source.read_pages <= number + 2


def test_whoever_stops_taking_pages_leaves_no_thread_behind():
    source = Pages(1000)
    pages = ReadAhead(source).pages(PLAN)
    next(pages)
    pages.close()
    for thread in threading.enumerate():
        if thread.name == "read-ahead":
            thread.join(5)
            assert not thread.is_alive()
    assert source.read_pages < 10
