"""Numbers as modes and scalars, and back."""

import sys

import numpy as np
import pytest
from scipy import stats

from experiments.data.mixtures import Mixture, fit_mixture


@pytest.fixture(scope='module')
def two_hills():
  rng = np.random.default_rng(1)
  numbers = rng.normal(np.where(rng.random(3000) < 0.7, -50, 1000), 20)
  return numbers, fit_mixture(numbers)


def test_modes_of_a_mixture(two_hills):
  numbers, mixture = two_hills
  weights, means = np.array(mixture.weights), np.array(mixture.means)
  assert (np.diff(means) > 0).all()
  low = means < 500
  assert weights[low].sum() == pytest.approx(0.7, abs=0.03)
  assert np.average(means[low], weights=weights[low]) == pytest.approx(
    -50, abs=3
  )
  assert (mixture.low, mixture.high) == (numbers.min(), numbers.max())
  assert mixture.points == ()
  assert not mixture.missing


def test_numbers_come_back_from_modes_and_scalars(two_hills):
  numbers, mixture = two_hills
  scalars, codes = mixture.encode(numbers, np.random.default_rng(0))
  assert scalars.dtype == np.float32
  assert np.abs(scalars).max() <= 0.99
  np.testing.assert_allclose(mixture.decode(scalars, codes), numbers, atol=1e-3)
  # Nothing beyond what was seen.
  far = mixture.decode(np.ones(2), np.array([0, mixture.modes - 1]))
  assert far.min() >= numbers.min()
  assert far.max() <= numbers.max()


def test_a_number_has_the_modes_that_are_probable():
  mixture = Mixture((0.0, 1.0), (1.0, 2.0), (0.5, 0.5), (), False, -9.0, 9.0)
  _, codes = mixture.encode(np.full(20_000, 0.5), np.random.default_rng(0))
  chances = stats.norm.pdf(0.5, [0, 1], [1, 2])
  assert codes.mean() == pytest.approx(chances[1] / chances.sum(), abs=0.01)


def test_frequent_and_missing_numbers_are_modes_of_their_own():
  rng = np.random.default_rng(0)
  numbers = np.concatenate(
    [rng.normal(100, 1, 600), np.zeros(300), np.full(100, np.nan)]
  )
  mixture = fit_mixture(numbers)
  assert mixture.points == (0.0,)
  assert mixture.missing
  assert mixture.modes == len(mixture.means) + 2
  assert min(mixture.means) > 90
  scalars, codes = mixture.encode(numbers, rng)
  assert (scalars[600:] == 0).all()
  # A scalar beside them does not count: they come out exactly.
  back = mixture.decode(scalars + np.float32(0.001), codes)
  np.testing.assert_array_equal(back[600:], numbers[600:])


@pytest.mark.parametrize(
  'numbers',
  [
    [np.nan] * 5,
    [3.0] * 5,
    [3.0, np.nan],
    [1.0] * 90 + [2.0] * 5,
    [1e-9, 2e-9, 3e-9] * 40 + [*np.linspace(4e-9, 5e-9, 40)],
    [1e15 + i for i in range(40)],
    [*range(12)],
  ],
)
def test_numbers_of_any_kind_come_back(numbers):
  numbers = np.array(numbers)
  mixture = fit_mixture(numbers)
  encoded = mixture.encode(numbers, np.random.default_rng(0))
  scale = np.nanmax(np.abs(numbers)) if not np.isnan(numbers).all() else 1
  np.testing.assert_allclose(
    mixture.decode(*encoded) / scale, numbers / scale, atol=1e-6
  )


def test_numbers_of_which_equal_ones_are_drawn_have_a_mode():
  numbers = np.repeat([0.0, 1.0, 2.0], [910_000, 89_999, 1])
  mixture = fit_mixture(numbers)
  scalars, codes = mixture.encode(numbers, np.random.default_rng(0))
  back = mixture.decode(scalars, codes)
  np.testing.assert_allclose(back[:-1], numbers[:-1], atol=1e-4)
  assert 1 < back[-1] <= 2


def test_without_scikit_learn_it_is_asked_for(monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn.mixture', None)
  with pytest.raises(ValueError, match=r'pip install "jgan\[tables\]"'):
    fit_mixture(np.arange(20.0))
