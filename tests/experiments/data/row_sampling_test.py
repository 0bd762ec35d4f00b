"""How rows are drawn: to suit conditions, or each by chance."""

import numpy as np
import pytest
from scipy import stats

from experiments.data import batch
from experiments.data.row_sampling import (
  PoissonSampling,
  TrainingBySampling,
  poisson_rate,
)
from experiments.data.tables import Encoded
from jgan.models.ctgan import Number, row_width


def test_training_by_sampling(mixed):
  table, encoding = mixed
  encoded = encoding.encode(table)
  source = TrainingBySampling(encoded)
  drawn = batch(source, 5, 7, 30_000)
  condition = drawn['condition']
  assert condition.dtype == np.int32
  # The row has the value that is asked for.
  starts = {}
  start = 0
  for i, part in enumerate(encoding.layout):
    starts[i] = start
    start += row_width([part])
  at = np.array([*range(starts[1], starts[1] + 3), *range(starts[5], start)])
  assert (drawn['row'][np.arange(30_000), at[condition]] == 1).all()
  # Values by the logarithms of their counts, columns alike.
  expected = []
  for i in (1, 5):
    logs = np.log1p(encoding.layout[i].frequencies)
    expected.extend(logs / logs.sum() / 2)
  shares = np.bincount(condition, minlength=5) / 30_000
  np.testing.assert_allclose(shares, expected, atol=0.01)
  # Within a value all of its rows alike.
  kiel = drawn['row'][condition == 1]
  assert len(np.unique(kiel, axis=0)) == encoding.layout[1].frequencies[1]


def test_batches_are_functions_of_seed_and_step(mixed):
  encoded = mixed[1].encode(mixed[0])
  for kind_of in (
    TrainingBySampling,
    PoissonSampling,
  ):
    one, same, later, other = (
      batch(kind_of(encoded), seed, step, 50)
      for seed, step in ((5, 7), (5, 7), (5, 8), (6, 7))
    )
    for name, x in one.items():
      np.testing.assert_array_equal(x, same[name])
    assert one['index'].tolist() == [*range(50)]
    assert not np.array_equal(one['row'], later['row'])
    assert not np.array_equal(one['row'], other['row'])
    assert len(kind_of(encoded)) == 400
    assert kind_of(encoded)[np.arange(3)]['row'].shape[0] == 3


def test_rows_without_categories_are_drawn_alike():
  encoded = Encoded(
    (Number(1),),
    np.linspace(-1, 1, 5, dtype=np.float32)[:, None],
    np.zeros((5, 1), np.int32),
  )
  drawn = batch(TrainingBySampling(encoded), 0, 0, 10_000)
  assert set(drawn) == {'row', 'index'}
  _, counts = np.unique(drawn['row'][:, 0], return_counts=True)
  np.testing.assert_allclose(counts / 10_000, 0.2, atol=0.02)
  private = batch(PoissonSampling(encoded), 0, 0, 20)
  assert set(private) == {'row', 'weight', 'index'}


def test_poisson_sampling(mixed):
  table, encoding = mixed
  encoded = encoding.encode(table)
  source = PoissonSampling(encoded)
  size = 200
  rate = poisson_rate(400, size)
  sizes, seen = [], np.zeros(400)
  every = encoded[np.arange(400)]['row']
  for step in range(60):
    drawn = source.draw(3, step, size)
    count = int(drawn['weight'].sum())
    sizes.append(count)
    assert (drawn['weight'] == (np.arange(size) < count)).all()
    rows = drawn['row'][:count]
    found = (rows[:, None] == every[None]).all(-1)
    assert (found.sum(1) == 1).all()
    at = found.argmax(1)
    assert len(set(at)) == count  # nobody twice
    seen[at] += 1
    # The condition is one of the row's own.
    conditions = drawn['condition'][:count, None] == encoded.conditions[at]
    assert (conditions.sum(1) == 1).all()
  spread = np.sqrt(400 * rate * (1 - rate))
  assert np.mean(sizes) == pytest.approx(400 * rate, abs=4 * spread / 60**0.5)
  assert np.std(sizes) == pytest.approx(spread, rel=0.4)
  # Whatever a row holds, it is drawn as often as another.
  assert stats.chisquare(seen).pvalue > 1e-3


def test_more_than_fit_are_hardly_ever_drawn():
  for rows, size in ((26_000, 500), (1_000_000, 100), (2000, 1000)):
    rate = poisson_rate(rows, size)
    assert stats.poisson.sf(size, rows * rate) == pytest.approx(1e-15, rel=1e-3)
    assert stats.binom.sf(size, rows, rate) <= 1.001e-15
  assert poisson_rate(100, 500) == 1.0
