"""Signals that ask a loop to stop."""

import io
import signal
import sys

import pytest

from experiments.signals import stop_signals


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_midst_of_a_print_is_noted(number, monkeypatch, capfd):
  class Interrupted(io.RawIOBase):
    def writable(self):
      return True

    def write(self, content):
      signal.raise_signal(number)
      return len(content)

  before = signal.getsignal(number)
  with stop_signals() as asked:
    assert asked() == 0
    with monkeypatch.context() as patch:
      stream = io.TextIOWrapper(io.BufferedWriter(Interrupted()))
      patch.setattr(sys, 'stdout', stream)
      print('step 1', flush=True)
      patch.setattr(Interrupted, 'write', lambda self, x: len(x))
    assert asked() == number
    assert signal.getsignal(number) == before  # once more does what it did
  told = capfd.readouterr().err
  assert told == '\nStopping after this step; once more to stop at once.\n'
