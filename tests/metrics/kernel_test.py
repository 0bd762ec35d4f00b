"""The kernel distance by hand, in float64 and against torch-fidelity."""

import features
import jax.numpy as jnp
import numpy as np
import pytest

from jgan.metrics import kernel_distance


def in_float64(real, fake):
  """The unbiased estimate over whole sets of one size."""
  n, d = real.shape
  real, fake = real.astype(np.float64), fake.astype(np.float64)
  kernels = [(a @ b.T / d + 1) ** 3 for a, b in (2 * (real,), 2 * (fake,))]
  within = sum(k.sum() - np.trace(k) for k in kernels) / (n * (n - 1))
  return within - 2 * ((real @ fake.T / d + 1) ** 3).mean()


def test_worked_out_on_paper():
  real, fake = np.array([[1.0], [2]]), np.array([[0.0], [3]])
  got = kernel_distance(real, fake, subsets=3, subset_size=2)
  # k is 27 between the reals, 1 between the fakes, 1 + 64 + 1 + 343 across.
  np.testing.assert_allclose(got, [27 + 1 - 409 / 2, 0], atol=1e-4)


@pytest.mark.parametrize('name', features.SETS)
def test_agrees_with_torch_fidelity_on_its_subsets(name):
  got = kernel_distance(
    *features.SETS[name](), subsets=20, subset_size=500, seed=5
  )
  np.testing.assert_allclose(got, features.GOLDEN[name]['kernel'], rtol=1e-6)


def test_whole_sets_agree_with_float64():
  real, fake = (x[:1000] for x in features.of_digits())
  got = kernel_distance(real, fake, subsets=1, subset_size=1000)
  np.testing.assert_allclose(got.mean, in_float64(real, fake), rtol=1e-6)


def test_a_small_distance_of_large_features_is_not_rounded_away():
  real, fake = (x[:1000] for x in features.random())
  real, fake = real + 3, real[::-1] * 1.01 + 3
  expected = in_float64(real, fake)
  got = kernel_distance(real, fake, subsets=1, subset_size=1000)
  # The kernels are about 1,000 each.
  np.testing.assert_allclose(got.mean, expected, rtol=1e-3, atol=1e-5)


def test_is_unbiased():
  rng = np.random.RandomState(0)
  # Two draws of one distribution: 0 on average, at any number of samples.
  scores = [
    kernel_distance(
      *rng.normal(size=(2, 20, 4)), subsets=1, subset_size=20
    ).mean
    for _ in range(300)
  ]
  assert min(scores) < 0 < max(scores)
  assert abs(np.mean(scores)) < 3 * np.std(scores) / np.sqrt(300)


def test_the_seed_decides_the_subsets():
  real, fake = (jnp.asarray(x) for x in features.random())
  first, again, other = (
    kernel_distance(real, fake, subsets=3, subset_size=50, seed=seed)
    for seed in (0, 0, 1)
  )
  assert first == again != other


def test_mistakes_give_no_score():
  real, fake = features.random(n=1200, m=900)
  with pytest.raises(ValueError, match=r'fake needs at least 1000 .*got 900'):
    kernel_distance(real, fake)
  with pytest.raises(ValueError, match='real has 48, fake has 47'):
    kernel_distance(real, fake[:, 1:], subset_size=10)
  with pytest.raises(ValueError, match='real holds NaN'):
    kernel_distance(np.full_like(real, np.nan), fake, subset_size=10)
  with pytest.raises(
    ValueError, match='subset_size of 2 or more, got 100 and 1'
  ):
    kernel_distance(real, fake, subset_size=1)
