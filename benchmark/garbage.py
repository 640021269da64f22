"""Making very many objects that stay, without the garbage collector walking over them."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Switch the collector of cycles off, as a context or a decorator, where there are none.

    It would walk over all the new objects, none of them garbage, again and again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
