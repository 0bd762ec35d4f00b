"""Regularizers by hand, and in a game."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgan import regularizers

X = jax.random.normal(jax.random.key(7), (5, 3))
V = np.array([2.0, -1.0, 0.5], 'float32')


def test_consistency_is_the_squared_move_of_the_logit():
  keys = jax.random.split(jax.random.key(0), 5)

  def shift(samples, keys):
    return samples + jnp.arange(5.0)[:, None]

  got = regularizers.consistency(lambda x: x @ V, X, shift, keys)
  np.testing.assert_allclose(got, (np.arange(5) * V.sum()) ** 2, rtol=1e-5)


def test_consistency_sums_over_patches():
  keys = jax.random.split(jax.random.key(0), 5)
  got = regularizers.consistency(lambda x: x, X, lambda x, keys: -x, keys)
  np.testing.assert_allclose(got, (4 * X**2).sum(1), rtol=1e-5)


@pytest.mark.parametrize('patches', [(), (2, 2)])
def test_lecam_draws_logits_to_the_other_mean(patches):
  real, fake = jnp.full((3, *patches), 2.0), jnp.full((3, *patches), -1.0)
  got = regularizers.lecam(real, fake, jnp.float32(0.5), jnp.float32(-0.5))
  np.testing.assert_allclose(got, [2.5**2 + 1.5**2] * 3)


def test_running_means_forget_their_start():
  tracker = regularizers.logit_means(0.5)
  one, two = jnp.float32([3, 5]), jnp.float32([-1, -1])
  first = tracker.update(tracker.start, one, two)
  assert float(first['real_mean']) == pytest.approx(0.9 * 4)
  assert float(first['fake_mean']) == pytest.approx(-0.9)
  tracked = first
  for _ in range(40):
    tracked = tracker.update(tracked, one, two)
  assert float(tracked['real_mean']) == pytest.approx(4)
  later = tracker.update(tracked, one + 1, two)
  assert float(later['real_mean']) == pytest.approx(4.5)  # the decay's .5


def test_lecams_term_is_the_discriminators_alone():
  tracked = {'real_mean': jnp.float32(1), 'fake_mean': jnp.float32(0)}
  outputs = {'logits': jnp.ones(4)}, {'logits': jnp.zeros(4)}
  term = regularizers.lecam_term(0.5)
  of_generator, of_discriminator = term(*outputs, None, {}, tracked)
  np.testing.assert_array_equal(of_generator, np.zeros(4))
  np.testing.assert_array_equal(of_discriminator, np.full(4, 0.5 * 2))


def test_bfloat16_logits_need_no_dtype_promotion():
  logits = jnp.ones(4, jnp.bfloat16)
  tracker = regularizers.logit_means()
  with jax.numpy_dtype_promotion('strict'):
    tracked = tracker.update(tracker.start, logits, -logits)
    term = regularizers.lecam_term()
    _, got = term({'logits': logits}, {'logits': -logits}, None, {}, tracked)
  assert tracked['real_mean'].dtype == got.dtype == jnp.float32
