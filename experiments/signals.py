"""SIGTERM and Ctrl-C, as a question that a loop asks after each step."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], int]]:
  """A function that tells which signal has asked to stop, 0 for none.

  SIGTERM and Ctrl-C are noted, with a line on stderr, and the loop ends after
  its step; a second one does what it always did. Signals reach the main thread
  only: in another, as some notebooks run cells, nothing is noted.
  """
  noted = []
  if threading.current_thread() is not threading.main_thread():
    yield lambda: 0
    return

  def note(number, frame):
    noted.append(number)
    for each, handler in before.items():
      signal.signal(each, handler)
    # Not by print, which fails where the signal came in the midst of another.
    with contextlib.suppress(OSError):
      os.write(2, b'\nStopping after this step; once more to stop at once.\n')

  before = {
    number: signal.signal(number, note)
    for number in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    yield lambda: noted[0] if noted else 0
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
