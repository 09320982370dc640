from __future__ import annotations

import time
from typing import Callable, TypeVar

Answer = TypeVar("Answer")


def until(condition: Callable[[], Answer]) -> Answer:
    """Waits until the condition answers something true, and returns that."""
    deadline = time.monotonic() + 60
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return answer
