"""Batches are made ahead by a thread: in order, and with every error where it belongs."""

from __future__ import annotations

import threading

import pytest
import torch

from sslhsi.errors import InputError
from sslhsi.training.batches import ahead


def test_every_step_once_and_in_order_while_the_network_works():
    made: list[tuple[int, int]] = []

    def batch(step: int) -> int:
        made.append((step, threading.get_ident()))
        return step

    threads = torch.get_num_threads()
    assert list(ahead(batch, 3, 9)) == list(range(3, 9))
    assert [step for step, _ in made] == list(range(3, 9))
    assert threading.get_ident() not in {thread for _, thread in made}
    assert torch.get_num_threads() == threads


def test_the_next_batch_is_made_before_it_is_asked_for():
    begun = {step: threading.Event() for step in range(4)}

    def batch(step: int) -> int:
        begun[step].set()
        return step

    for step in ahead(batch, 0, 4):
        # It would wait for ever if nothing were made ahead.
        assert step == 3 or begun[step + 1].wait(60)
        assert step + 2 > 3 or not begun[step + 2].is_set()


def test_an_error_is_raised_at_its_step():
    def batch(step: int) -> int:
        if step == 2:
            raise InputError("a scene can't be read any more")
        return step

    reached = []
    with pytest.raises(InputError, match="can't be read"):  # noqa: PT012
        for step in ahead(batch, 0, 5):
            reached.append(step)
    assert reached == [0, 1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_no_thread_outlives_a_loop_that_is_broken_off(error):
    before = threading.active_count()
    with pytest.raises(error):  # noqa: PT012
        for step in ahead(lambda step: step, 0, 1000):
            if step == 1:
                raise error
    assert threading.active_count() == before


def test_a_run_that_has_ended_makes_no_batch():
    def batch(step: int) -> int:
        raise AssertionError("nobody asked for it")

    assert list(ahead(batch, 7, 7)) == []
