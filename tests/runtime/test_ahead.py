import threading
import time

import pytest

from jaxbq.runtime.ahead import Stopped, check_wanted, made_ahead


def test_tasks_are_done_in_their_order_beside_the_block():
    done, here = [], threading.current_thread()
    finished = threading.Event()
    tasks = [
        lambda: done.append(threading.current_thread() is here),
        lambda: done.append("second"),
        finished.set,
    ]
    with made_ahead(tasks):
        assert finished.wait(10)
    assert done == [False, "second"]


def test_a_task_that_fails_is_left_to_the_block_and_the_next_is_done():
    finished = threading.Event()

    def fails():
        raise ValueError("cannot")

    with made_ahead([fails, finished.set]):
        assert finished.wait(10)


def test_what_nobody_needs_any_more_stops_at_its_next_check():
    begun, ended, later = threading.Event(), [], []

    def long():
        begun.set()
        try:
            while True:
                check_wanted()
                time.sleep(0.01)
        except Stopped:
            ended.append(True)
            raise

    def block():
        with made_ahead([long, lambda: later.append(True)]):
            assert begun.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()
    assert ended == [True]
    assert later == []
    check_wanted()  # the main thread is never stopped
