"""Parts of the pages that commands write."""

import os

from experiments import pages


def test_the_first_column_is_to_the_left():
  assert pages.table(['', 'a', 'b'], [['x', '1', '2']]).splitlines() == [
    '|  | a | b |',
    '| --- | --: | --: |',
    '| x | 1 | 2 |',
  ]


def test_the_deviation_is_of_a_sample():
  # (1 + 1) / (3 - 1) = 1.
  assert pages.mean_and_deviation([1.0, 2.0, 3.0], 2) == '2.00 ± 1.00'
  assert pages.mean_and_deviation([1.0], 1) == '1.0'


def test_cores_are_those_that_the_process_may_use(monkeypatch):
  monkeypatch.setattr(os, 'cpu_count', lambda: 8)
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {5}, raising=False)
  assert 'minutes on 1 core of ' in pages.spent(pages.clocks())
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {2, 5}, raising=False)
  assert 'minutes on 2 cores of ' in pages.spent(pages.clocks())
