"""Latents: shapes, bounds and moments of what one key draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jgan

# a distribution, and the same of scipy
DISTRIBUTIONS = {
  'normal': (jgan.latents.normal, scipy.stats.norm()),
  'uniform': (jgan.latents.uniform, scipy.stats.uniform(-1, 2)),
  'uniform in [2, 5)': (
    lambda size: jgan.latents.uniform(size, 2.0, 5.0),
    scipy.stats.uniform(2, 3),
  ),
  'truncated': (
    lambda size: jgan.latents.truncated_normal(size, 0.7),
    scipy.stats.truncnorm(-0.7, 0.7),
  ),
  'noise before codes': (jgan.latents.codes, scipy.stats.uniform(-1, 2)),
  'continuous codes': (
    lambda size: jgan.latents.codes(0, continuous=size),
    scipy.stats.uniform(-1, 2),
  ),
}


def draw(latent, n):
  keys = jgan.example_keys(jax.random.key(1), {'index': jnp.arange(n)})
  return jax.vmap(latent)(keys)


@pytest.mark.parametrize('name', DISTRIBUTIONS)
def test_one_latent_is_a_float32_vector(name):
  latent = DISTRIBUTIONS[name][0](7)(jax.random.key(0))
  assert (latent.shape, latent.dtype) == ((7,), jnp.float32)


@pytest.mark.parametrize('name', DISTRIBUTIONS)
def test_latents_are_float32_where_64_bits_are_the_default(name):
  jax.config.update('jax_enable_x64', True)
  try:
    latent = DISTRIBUTIONS[name][0](7)(jax.random.key(0))
  finally:
    jax.config.update('jax_enable_x64', False)
  assert latent.dtype == jnp.float32


def test_chosen_codes_are_float32_where_64_bits_are_the_default():
  jax.config.update('jax_enable_x64', True)
  try:
    latent = jgan.latents.codes(2, (3,), 1)(jax.random.key(0))
  finally:
    jax.config.update('jax_enable_x64', False)
  assert latent.dtype == jnp.float32


@pytest.mark.parametrize('name', DISTRIBUTIONS)
def test_examples_follow_the_distribution(name):
  make, reference = DISTRIBUTIONS[name]
  latents = np.asarray(draw(make(4), 1000), 'float64')
  assert latents.mean() == pytest.approx(reference.mean(), abs=0.05)
  assert latents.var() == pytest.approx(reference.var(), rel=0.08)
  assert scipy.stats.kstest(latents.ravel(), reference.cdf).pvalue > 1e-3
  low, high = reference.support()
  assert low <= latents.min() < latents.max() <= high


def test_entries_and_examples_are_independent():
  latents = np.asarray(draw(jgan.latents.normal(3), 2000))
  within = np.corrcoef(latents.T)
  np.testing.assert_allclose(within, np.eye(3), atol=0.08)
  neighbours = np.corrcoef(latents[:-1, 0], latents[1:, 0])[0, 1]
  assert abs(neighbours) < 0.08


def test_a_key_draws_the_same_latent_again():
  latent = jgan.latents.normal(5)
  key = jax.random.key(2)
  again = jax.random.clone(key)
  np.testing.assert_array_equal(latent(key), latent(again))


@pytest.mark.parametrize('threshold', [0.0, -1.0])
def test_truncation_needs_a_positive_threshold(threshold):
  message = f'truncated_normal: threshold must be positive, got {threshold}'
  with pytest.raises(ValueError, match=message):
    jgan.latents.truncated_normal(3, threshold)


def test_categories_are_one_hot_and_equally_likely():
  latents = draw(jgan.latents.codes(2, (3, 4), 1), 2000)
  assert latents.shape == (2000, 2 + 3 + 4 + 1)
  _, (three, four), _ = jgan.latents.split_codes(latents, (3, 4), 1)
  for one_hot, size in ((three, 3), (four, 4)):
    np.testing.assert_array_equal(jnp.sort(one_hot)[:, :-1], 0)
    np.testing.assert_array_equal(one_hot.max(1), 1)
    np.testing.assert_allclose(one_hot.mean(0), 1 / size, atol=0.04)
  both = (three[:, 0] * four[:, 0]).mean()
  assert float(both) == pytest.approx(1 / 12, abs=0.03)


def test_chosen_codes_by_hand():
  noise, continuous = jnp.array([[7.0, 8.0]]), jnp.array([[0.5]])
  latent = jgan.latents.join_codes(
    noise, jnp.array([[2, 0]]), continuous, (3, 2)
  )
  np.testing.assert_array_equal(latent, [[7, 8, 0, 0, 1, 1, 0, 0.5]])
  parts = jgan.latents.split_codes(latent, (3, 2), 1)
  np.testing.assert_array_equal(parts[0], noise)
  np.testing.assert_array_equal(parts[1][0], [[0, 0, 1]])
  np.testing.assert_array_equal(parts[1][1], [[1, 0]])
  np.testing.assert_array_equal(parts[2], continuous)


def test_codes_that_cannot_be_are_named():
  with pytest.raises(ValueError, match=r'two values or more, got \(10, 1\)'):
    jgan.latents.codes(3, (10, 1))
  with pytest.raises(ValueError, match=r'categories=\(10,\).* got 2'):
    jgan.latents.join_codes(
      jnp.zeros((1, 3)), jnp.zeros((1, 2), int), jnp.zeros((1, 0)), (10,)
    )
