"""Scores of tables: by hand, and against other implementations of them."""

import numpy as np
import pytest
from scipy import stats

from jgan.metrics import (
  association_difference,
  associations,
  kolmogorov_smirnov,
  record_features,
  total_variation,
)

NAN = float('nan')


def test_total_variation_by_hand():
  real, fake = np.array(['a', 'a', 'b', 'c']), np.array(['a', 'b', 'b', 'd'])
  # Shares 1/2, 1/4, 1/4, 0 and 1/4, 1/2, 0, 1/4.
  assert total_variation(real, fake) == pytest.approx(0.5)
  assert total_variation(real, real[::-1]) == 0
  assert total_variation(np.array([1, 1]), np.array([2])) == 1


def test_kolmogorov_smirnov_is_scipys():
  rng = np.random.default_rng(0)
  for shift in (0.0, 0.3, 9.0):
    real = np.round(rng.normal(size=300), 1)
    fake = np.round(rng.normal(shift, size=200), 1)
    expected = stats.ks_2samp(real, fake).statistic
    assert kolmogorov_smirnov(real, fake) == pytest.approx(expected)


def test_missing_numbers_lie_below_all_others():
  real = np.array([1.0, 2.0, 3.0, 4.0])
  assert kolmogorov_smirnov(
    real, np.array([NAN, 2.0, 3.0, 4.0])
  ) == pytest.approx(0.25)
  assert kolmogorov_smirnov(real, np.array([NAN] * 3)) == 1
  assert kolmogorov_smirnov(np.array([NAN, 1.0]), np.array([1.0, NAN])) == 0


@pytest.fixture(scope='module')
def columns():
  rng = np.random.default_rng(0)
  number = rng.normal(size=500)
  other = 0.5 * number + rng.normal(size=500)
  label = np.where(number > 0.5, 'high', np.where(number > -0.5, 'mid', 'low'))
  second = rng.integers(0, 4, 500) + 2 * (label == 'high')
  return [number, other, label, second]


def test_associations_are_those_of_other_implementations(columns):
  number, other, label, second = columns
  got = associations(columns)
  assert got.shape == (4, 4)
  np.testing.assert_array_equal(got, got.T)
  np.testing.assert_array_equal(np.diag(got), 1)
  assert got[0, 1] == pytest.approx(np.corrcoef(number, other)[0, 1])
  table = stats.contingency.crosstab(label, second).count
  assert got[2, 3] == pytest.approx(
    stats.contingency.association(table, 'cramer')
  )
  groups = [other[label == x] for x in np.unique(label)]
  between = sum(len(x) * (x.mean() - other.mean()) ** 2 for x in groups)
  assert got[1, 2] == pytest.approx(np.sqrt(between / other.var() / 500))


def test_associations_of_what_follows_or_is_constant():
  number = np.arange(6.0)
  twice = -2 * number
  parity = np.arange(6) % 2
  names = np.array(['even', 'odd'])[parity]
  constant, same = np.full(6, 'x'), np.full(6, 3.0)
  got = associations([number, twice, parity, names, constant, same])
  assert got[0, 1] == pytest.approx(-1)
  assert got[2, 3] == pytest.approx(1)
  assert (got[4, :4] == 0).all()
  assert (got[5, :5] == 0).all()
  steps = associations([parity.astype(float), names])
  assert steps[0, 1] == pytest.approx(1)


@pytest.mark.parametrize('n', [7, 100, 1000])
def test_a_constant_whose_mean_is_rounded_tells_nothing(n):
  tenths, year = np.full(n, 0.1), np.full(n, 2015.3)
  single = np.full(n, 2015.3, np.float32)
  parity = np.arange(n) % 2
  got = associations([tenths, year, single, parity])
  np.testing.assert_array_equal(got, np.eye(4))
  points = record_features([np.array([0.1, 1.1])], [tenths])
  np.testing.assert_allclose(points, [[0.0], [1.0]], atol=1e-7)


def test_associations_are_over_the_rows_that_have_both():
  number = np.array([1.0, 2.0, 3.0, 4.0, NAN])
  other = np.array([2.0, 1.0, 4.0, NAN, 7.0])
  label = np.array(['a', 'a', 'b', 'b', 'b'])
  got = associations([number, other, label])
  expected = np.corrcoef(number[:3], other[:3])[0, 1]
  assert got[0, 1] == pytest.approx(expected)
  ratio = np.sqrt(4 * 1.0 / 5.0)  # means 1.5 and 3.5 about 2.5; squares 5
  assert got[0, 2] == pytest.approx(ratio)
  nothing = associations([np.full(5, NAN), label, number])
  assert (nothing[0, 1:] == 0).all()


def test_the_difference_is_the_mean_over_pairs(columns):
  rng = np.random.default_rng(1)
  shuffled = [rng.permutation(x) for x in columns]
  expected = np.abs(associations(columns) - associations(shuffled))
  pairs = [expected[i, j] for i in range(4) for j in range(i)]
  got = association_difference(columns, shuffled)
  assert got == pytest.approx(np.mean(pairs))
  assert got > 0.2
  assert association_difference(columns, columns) == 0


def test_distances_of_records_by_hand():
  reference = [
    np.array([0.0, 2.0, 4.0, 6.0]),  # deviation sqrt(5)
    np.array(['a', 'b', 'b', 'c']),
    np.array([1.0, 1.0, NAN, 1.0]),
  ]
  rows = [
    np.array([1.0, 3.0]),
    np.array(['a', 'z']),
    np.array([1.0, NAN]),
  ]
  points, known = (record_features(x, reference) for x in (rows, reference))
  assert points.dtype == np.float32

  def squared(a, b):
    return ((a - b) ** 2).sum()

  assert squared(known[0], known[1]) == pytest.approx(4 / 5 + 1)
  assert squared(known[1], known[2]) == pytest.approx(4 / 5 + 1)  # missing
  assert squared(points[0], known[0]) == pytest.approx(1 / 5)
  assert squared(points[1], known[1]) == pytest.approx(1 / 5 + 1 / 2 + 1)


def test_a_number_that_no_reference_misses_lies_at_the_mean():
  reference = [np.array([0.0, 1.0])]
  plain = record_features([np.array([0.5])], reference)
  missing = record_features([np.array([NAN])], reference)
  assert plain.shape == missing.shape == (1, 1)
  assert missing[0, 0] == 0


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: total_variation(np.array([], str), np.array(['a'])), 'at least 1'),
    (lambda: kolmogorov_smirnov(np.ones(2), np.ones(0)), 'at least 1 samples'),
    (lambda: associations([]), r'columns of one length, got \[\]'),
    (lambda: associations([np.ones(2), np.ones(3)]), r'got \[2, 3\]'),
    (lambda: associations([np.ones(0)]), 'at least 1 samples'),
    (
      lambda: association_difference([np.ones(2)], [np.ones(2)]),
      'two at least, got 1 and 1',
    ),
    (
      lambda: record_features([np.ones(2)], [np.ones(2)] * 2),
      'as many columns as the reference has, 2, got 1',
    ),
  ],
)
def test_what_cannot_be_compared_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
