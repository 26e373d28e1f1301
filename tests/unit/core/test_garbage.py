"""Garbage is looked for again when it was to be left alone for a while, whatever came in between."""

import gc
import weakref
from contextlib import suppress

from benchmark.core.memory import gc_disabled, gc_frozen


class Ring:
    def __init__(self):
        self.ring = self


def test_it_is_looked_for_again_afterwards_also_after_an_error():
    assert gc.isenabled()
    with suppress(ValueError), gc_disabled():
        assert not gc.isenabled()
        with gc_disabled():
            pass
        assert not gc.isenabled(), "the outer one has not ended"
        raise ValueError
    assert gc.isenabled()


def test_what_was_set_aside_is_collected_afterwards_and_what_is_new_at_once():
    old = Ring()
    seen = weakref.ref(old)
    with suppress(ValueError), gc_frozen():
        del old
        new = weakref.ref(Ring())
        gc.collect()
        assert seen() is not None
        assert new() is None
        raise ValueError
    gc.collect()
    assert seen() is None
