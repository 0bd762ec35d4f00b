"""The same small game on one device and on several."""

import jax
import numpy as np
import pytest

from experiments.benchmarks import scaling


@pytest.fixture(autouse=True)
def small(monkeypatch):
  for name, value in {'BATCH': 8, 'WIDTH': 4, 'RESOLUTION': 8}.items():
    monkeypatch.setattr(scaling, name, value)
  scaling.game.cache_clear()
  yield
  scaling.game.cache_clear()


def test_each_number_of_devices_plays_the_same_and_has_a_line(monkeypatch):
  devices = jax.devices()
  monkeypatch.setattr(jax, 'devices', lambda: devices[:2])
  head, columns, *lines = scaling.scaling(turns=2, steps=1).splitlines()
  assert 'width 4, global batch 8; 2 turns of 1 steps' in head
  assert columns.split()[0] == 'devices'
  assert [line.split()[0] for line in lines] == ['1', '2']
  one, two = lines
  assert one.split()[-1] == '0.0e+00'
  assert 0 < float(two.split()[-1]) < 1e-3
  assert [int(line.split()[-3]) > 0 for line in lines] == [False, True]


def test_difference_is_relative_to_the_largest_entry():
  one = {'a': np.array([1.0, 4.0]), 'b': np.zeros(2)}
  other = {'a': np.array([1.5, 5.0]), 'b': np.zeros(2)}
  assert scaling.difference(one, other) == pytest.approx(1 / 5)
