"""What a step takes in memory, and the table of it."""

import functools

from experiments.benchmarks import memory
from jgan import models


def test_a_row_tells_both_ways(monkeypatch):
  game = memory.Game(
    functools.partial(models.dcgan, 16, width=16),
    {'image': (32, 16, 16, 1)},
    'few',
  )
  monkeypatch.setattr(memory, 'GAMES', {'dcgan': game})
  row = memory.memory().splitlines()[-1].strip('| ').split(' | ')
  assert row[:3] == ['dcgan', 'few', '32']
  whole, pieces, ratio, more = map(float, row[3:])
  assert ratio < 0.9
  assert abs(pieces / whole - ratio) < 0.1  # both rounded to .1 MB
  assert more > 1
