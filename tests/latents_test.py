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
}


def draw(latent, n):
  keys = jgan.example_keys(jax.random.key(1), {'index': jnp.arange(n)})
  return jax.vmap(latent)(keys)


@pytest.mark.parametrize('name', DISTRIBUTIONS)
def test_one_latent_is_a_float32_vector(name):
  latent = DISTRIBUTIONS[name][0](7)(jax.random.key(0))
  assert (latent.shape, latent.dtype) == ((7,), jnp.float32)


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
