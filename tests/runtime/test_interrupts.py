import os
import signal
import threading

import pytest

from jaxbq.runtime import interrupts


class Swallowing:
    """Its finaliser gets the Ctrl-C, and Python drops what a finaliser raises."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(10):  # let the handler run here
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lost_ctrl_c_is_raised_at_the_next_word():
    before = signal.getsignal(signal.SIGINT)
    with interrupts.watched():
        interrupts.check()
        Swallowing()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) is before
    interrupts.check()


def test_one_that_is_not_lost_is_raised_at_once():
    with interrupts.watched(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    interrupts.check()


def test_off_the_main_thread_nothing_is_watched():
    before = signal.getsignal(signal.SIGINT)

    def inside():
        with interrupts.watched():
            interrupts.check()

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
