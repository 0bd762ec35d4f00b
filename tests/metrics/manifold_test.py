"""Precision, recall, density and coverage, exactly those of other codes."""

import features
import jax.numpy as jnp
import numpy as np
import pytest

from jgan.metrics import density_coverage, precision_recall


@pytest.mark.parametrize('name', features.SETS)
def test_agrees_exactly_with_torch_fidelity_and_prdc(name):
  real, fake = features.SETS[name]()
  golden = features.GOLDEN[name]
  assert precision_recall(real, jnp.asarray(fake)) == golden['manifold']
  assert density_coverage(jnp.asarray(real), fake) == golden['density']


def by_definition(real, fake, k):
  """All four, of integers, whose distances float64 holds exactly."""

  def squared(a, b):
    return np.square(a[:, None] - b[None]).sum(-1)

  real_balls = np.sort(squared(real, real), 1)[:, k]
  fake_balls = np.sort(squared(fake, fake), 1)[:, k]
  across = squared(real, fake)
  inside = across < real_balls[:, None]
  return (
    (across <= real_balls[:, None]).any(0).mean(),
    (across <= fake_balls[None]).any(1).mean(),
    inside.sum() / (k * len(fake)),
    inside.any(1).mean(),
  )


@pytest.mark.parametrize('k', [1, 3, 10])
def test_ties_and_copies_count_as_defined(k):
  rng = np.random.RandomState(k)
  real, fake = rng.randint(0, 4, size=(120, 5)), rng.randint(1, 5, size=(90, 5))
  got = (*precision_recall(real, fake, k), *density_coverage(real, fake, k))
  np.testing.assert_allclose(got, by_definition(real, fake, k), rtol=1e-15)


def test_worked_out_on_a_line():
  real, fake = np.array([[0.0], [1], [3]]), np.array([[4.0], [5], [9]])
  # With k = 1 the reals reach 1, 1 and 2 far, the fakes 1, 1 and 4.
  assert precision_recall(real, fake, k=1) == (2 / 3, 1 / 3)  # 5 is on a rim
  assert density_coverage(real, fake, k=1) == (
    1 / 3,
    1 / 3,
  )  # which is left out


def test_the_same_distribution_twice():
  x = np.random.RandomState(0).normal(size=(1000, 2))
  precision, recall = precision_recall(x[:500], x[500:])
  assert min(precision, recall) > 0.9
  density, coverage = density_coverage(x[:500], x[500:])
  assert density == pytest.approx(1, abs=0.1)
  assert coverage == pytest.approx(1 - 2**-5, abs=0.03)


def test_a_dropped_mode_costs_recall_and_coverage():
  rng = np.random.RandomState(1)
  real = np.concatenate(
    [rng.normal(size=(300, 3)), 20 + rng.normal(size=(100, 3))]
  )
  fake = rng.normal(size=(400, 3))
  precision, recall = precision_recall(real, fake)
  _, coverage = density_coverage(real, fake)
  assert precision > 0.9
  assert recall <= 0.75
  assert coverage <= 0.75


def test_one_outlier_raises_precision_but_not_density():
  rng = np.random.RandomState(2)
  real = np.concatenate([rng.normal(size=(200, 2)), [[30.0, 0]]])
  fake = rng.normal((15, 0), size=(200, 2))
  assert precision_recall(real, fake).precision > 0.9
  assert density_coverage(real, fake).density < 0.25


@pytest.mark.parametrize('score', [precision_recall, density_coverage])
def test_mistakes_give_no_score(score):
  x = features.random(n=20)[0]
  with pytest.raises(ValueError, match=r'real needs at least 21 .*got 20'):
    score(x, x, k=20)
  with pytest.raises(ValueError, match='real has 48, fake has 40'):
    score(x, x[:, :40])
  with pytest.raises(ValueError, match='fake holds NaN'):
    score(x, x + np.nan)
  with pytest.raises(ValueError, match='k of 1 or more, got 0'):
    score(x, x, k=0)
