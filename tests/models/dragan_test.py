"""DRAGAN: whose gradient is penalised, where, and by how much."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan.models.dcgan import Discriminator

N = 4
BATCH = {'image': jnp.tanh(jax.random.normal(jax.random.key(5), (N, 8, 8, 1)))}


def game(**numbers):
  return jgan.models.dragan(8, 1, width=4, latent_dim=3, **numbers)


@pytest.fixture(scope='module')
def state():
  return jgan.init(game(), jax.random.key(0), BATCH)


def penalty(state, **numbers):
  loss = game(**numbers).players[0].loss
  output = loss(state.variables, BATCH, jax.random.key(1), jnp.int32(0))
  return float(output.metrics['penalty'])


def test_the_discriminator_judges_each_picture_by_itself(state):
  critic = Discriminator(width=4, batch_norm=False)
  own = state.variables['discriminator']
  assert set(own) == {'params'}  # no statistics
  together, alone = (
    critic.apply(own, pictures, None, train=True)[0]
    for pictures in (BATCH['image'], BATCH['image'][:1])
  )
  assert float(together) == pytest.approx(float(alone), rel=1e-5)


def test_the_penalty_is_ten_times_the_distance_of_the_gradient_from_one(state):
  # Without noise, the gradient is that at the data.
  critic = Discriminator(width=4, batch_norm=False)

  def value(image):
    own = state.variables['discriminator']
    return critic.apply(own, image[None], None, train=True)[0]

  slopes = jax.vmap(jax.grad(value))(BATCH['image'])
  norms = np.linalg.norm(np.reshape(slopes, (N, -1)), axis=1)
  expected = 10 * ((norms - 1) ** 2).mean()
  assert penalty(state, std=0.0) == pytest.approx(expected, rel=1e-4)


def test_weight_and_noise_are_the_callers(state):
  assert penalty(state, penalty_weight=5.0) == pytest.approx(
    penalty(state) / 2, rel=1e-5
  )
  assert penalty(state, std=3.0) != pytest.approx(penalty(state), rel=1e-5)


def test_impossible_resolutions_are_refused():
  with pytest.raises(ValueError, match='power of two of at least 8, got 12'):
    jgan.models.dragan(12)
