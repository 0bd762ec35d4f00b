"""What steps and pods cost, against sums by hand."""

import pytest

from experiments.benchmarks import cost


def test_the_least_time_of_each_kind():
  limits = cost.Limits(arithmetic=100.0, memory=10.0, dispatch=0.5)
  assert limits.seconds(50.0, 20.0) == {
    'arithmetic': 0.5,
    'memory': 2.0,
    'dispatch': 0.5,
  }


def test_a_row_tells_the_step_and_its_limit():
  slow = cost.Limits(arithmetic=1e3, memory=1e30, dispatch=0.0)
  row = cost._row(slow, {'batch': 2, 'resolution': 8, 'width': 2}, 1)
  cells = row.split()
  assert cells[:3] == ['2', '8', '2']
  assert cells[7] == 'arithmetic'
  # So slow an arithmetic would have taken longer than it did.
  assert float(cells[9].rstrip('%')) > 100


def test_limits_are_measured(monkeypatch):
  monkeypatch.setattr(cost, 'best', lambda *_, **__: 2.0)
  limits = cost.measured(1)
  assert limits.arithmetic == 2 * 2048**3 / 2
  assert limits.memory == 2 * 4 * 4 * 2**20 / 2
  assert limits.dispatch == 2


def test_the_best_of_several_calls():
  calls = []
  cost.best(lambda x: calls.append(x) or x, (1,), 3)
  assert calls == [1] * 4  # the first compiles


def test_pods_by_hand(monkeypatch):
  monkeypatch.setattr(cost, 'r3gan', lambda: (1e12, 10**9))
  monkeypatch.setattr(cost, 'PODS', (cost.Pod('chip', 1e15, 1e11, 0.5),))
  monkeypatch.setattr(cost, 'CHIPS', (4,))
  _, _, line, guess = cost.pods().splitlines()
  name, chips, arithmetic, sums, speed, days = line.split()
  assert (name, chips) == ('chip', '4')
  assert float(arithmetic) == pytest.approx(4096 * 1e12 / 4 / 5e14, abs=1e-3)
  assert float(sums) == pytest.approx(8e9 * 0.75 / 1e11, abs=1e-3)
  step = 2.048 + 0.06
  assert float(speed.replace(',', '')) == pytest.approx(4096 / step, abs=1)
  assert float(days) == pytest.approx(1e9 / 4096 * step / 86400, abs=0.1)
  assert 'chip 50%' in guess
