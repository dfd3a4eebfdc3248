import contextvars
import threading
import time

import jax
import jax.numpy as jnp
import pytest

from jaxbq.runtime import timing as module
from jaxbq.runtime.timing import Stopwatch, Timing, phase, timed


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when it is told to."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


def test_every_second_is_in_one_phase_alone(clock):
    with timed(Timing("rest")) as timing:
        clock(1)
        with phase("score"):
            clock(2)
            with phase("judges"):
                clock(4)
            clock(8)
        clock(16)
    assert timing.so_far() == {"rest": 17, "score": 10, "judges": 4}
    assert list(timing.so_far()) == ["rest", "score", "judges"]


def test_compiling_is_taken_off_the_phase_that_needed_it_and_counted_once(clock):
    with timed(Timing()) as timing, phase("invert"):
        clock(1)
        # A trace of 3 seconds with one of 2 within it; then 5 of the compiler.
        clock(2)
        timing.hear(2, program=False)
        clock(1)
        timing.hear(3, program=False)
        clock(5)
        timing.hear(5, program=True)
    assert timing.so_far() == {"compile": 8, "invert": 1, "rest": 0}


def test_nothing_is_counted_where_nobody_counts():
    with phase("score"):
        pass
    with timed(Timing()) as timing:
        pass
    assert set(timing.so_far()) == {"rest"}


def test_an_inner_count_takes_over_what_the_outer_has(clock):
    with timed(Timing("import", since=90.0)) as outer:
        clock(5)
        with timed(Timing()) as inner:
            clock(1)
            with phase("data"):
                clock(2)
        assert inner.so_far() == {"import": 15, "data": 2, "rest": 1}
        clock(4)
        with timed(Timing()) as second:
            clock(8)
        # Nothing of the first, which counted itself.
        assert second.so_far() == {"rest": 8, "import": 4}
        assert outer.so_far()["import"] == 0


def test_what_jax_compiles_is_heard_in_its_own_thread_alone():
    def compile_one():
        jax.jit(lambda x: jnp.sin(x) * 7.25 + jnp.cos(x)).lower(1.0).compile()

    with Stopwatch() as watch, timed(Timing()) as timing:
        thread = threading.Thread(target=compile_one)
        thread.start()
        thread.join()
        assert watch.programs == 0
        assert "compile" not in timing.so_far()
        copied = contextvars.copy_context()
        copied.run(compile_one)
    assert watch.programs == 1
    assert 0 < watch.compiling <= watch.total
    assert timing.so_far()["compile"] > 0
    assert module._WATCHES.get() == ()
