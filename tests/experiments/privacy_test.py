"""What private training spends: known cases, bounds and refusals."""

import sys

import numpy as np
import pytest
from scipy import optimize, stats

from experiments.privacy import epsilon


def delta_of_gaussian(eps, mu):
  """Balle and Wang, 2018, theorem 8, for a sensitivity of mu deviations."""
  upper = stats.norm.cdf(mu / 2 - eps / mu)
  return upper - np.exp(eps) * stats.norm.cdf(-mu / 2 - eps / mu)


@pytest.mark.parametrize(('noise', 'steps'), [(2.0, 1), (8.0, 30), (4.0, 4)])
def test_all_rows_in_all_steps_is_one_gaussian(noise, steps):
  mu = np.sqrt(steps) / noise
  expected = optimize.brentq(
    lambda eps: delta_of_gaussian(eps, mu) - 1e-5, 1e-3, 50
  )
  got = epsilon(noise, 1.0, steps, 1e-5)
  assert got == pytest.approx(expected, rel=1e-2)


def test_it_is_within_the_bound_of_renyi_divergences():
  import dp_accounting
  from dp_accounting import rdp

  accountant = rdp.RdpAccountant()
  accountant.compose(
    dp_accounting.PoissonSampledDpEvent(
      0.01, dp_accounting.GaussianDpEvent(1.0)
    ),
    1000,
  )
  bound = accountant.get_epsilon(1e-5)
  assert 0.7 * bound < epsilon(1.0, 0.01, 1000, 1e-5) < bound


def test_it_grows_with_steps_and_rate_and_falls_with_noise():
  usual = epsilon(1.5, 0.02, 500, 1e-5)
  assert epsilon(1.5, 0.02, 0, 1e-5) == 0
  assert usual < epsilon(1.5, 0.02, 1000, 1e-5)
  assert usual < epsilon(1.5, 0.04, 500, 1e-5)
  assert usual > epsilon(3.0, 0.02, 500, 1e-5)
  assert usual > epsilon(1.5, 0.02, 500, 1e-3)


def test_an_overflow_takes_half_of_delta():
  with_overflow = epsilon(1.5, 0.02, 500, 2e-5, overflow=1e-15)
  assert with_overflow == pytest.approx(epsilon(1.5, 0.02, 500, 1e-5))
  with pytest.raises(ValueError, match='which is no privacy'):
    epsilon(1.5, 0.02, 500, 1e-5, overflow=1e-6)


@pytest.mark.parametrize(
  'arguments',
  [
    (0.0, 0.1, 1, 1e-5),
    (1.0, 0.0, 1, 1e-5),
    (1.0, 1.5, 1, 1e-5),
    (1.0, 0.1, -1, 1e-5),
    (1.0, 0.1, 1, 0.0),
    (1.0, 0.1, 1, 1.0),
  ],
)
def test_numbers_out_of_range_are_refused(arguments):
  with pytest.raises(ValueError, match='epsilon: needs noise above 0'):
    epsilon(*arguments)


def test_without_the_accountant_it_is_asked_for(monkeypatch):
  monkeypatch.setitem(sys.modules, 'dp_accounting', None)
  with pytest.raises(ValueError, match=r'pip install "jgan\[tables\]"'):
    epsilon(1.0, 0.1, 1, 1e-5)
