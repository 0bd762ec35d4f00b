"""InfoGAN: what its codes cost, who learns them, and that they are learned."""

from functools import partial

import forwards
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan.models.infogan import Discriminator, Generator, code_loss

BATCH = {'image': jnp.tanh(jax.random.normal(jax.random.key(5), (16, 8, 8, 1)))}


def game(**numbers):
  small = {'noise': 2, 'categories': (3,), 'width': 4, 'hidden': 16}
  return jgan.models.infogan(8, **{**small, **numbers})


def test_codes_cost_what_they_should_by_hand():
  # Noise of 1, categories of 2 and 3 values, two continuous codes.
  latent = jnp.array([[9, 0, 1, 1, 0, 0, 0.5, -1], [9, 1, 0, 0, 0, 1, 0, 0]])
  outputs = {
    'category_logits': jnp.array([[0, 0, 0, 0, 0], [50.0, 0, 0, 0, 50]]),
    'code_means': jnp.array([[0.5, 1.0], [0.0, 0.0]]),
  }
  got = code_loss(outputs, latent, (2, 3), 2)
  expected = [np.log(2) + np.log(3) + 2**2 / 2, 0]
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_either_kind_of_code_may_be_missing():
  latent = jnp.array([[1.0, 0.5]])
  outputs = {
    'category_logits': jnp.zeros((1, 0)),
    'code_means': jnp.zeros((1, 2)),
  }
  np.testing.assert_allclose(code_loss(outputs, latent, (), 2), [0.625])
  outputs = {
    'category_logits': jnp.zeros((1, 2)),
    'code_means': jnp.zeros((1, 0)),
  }
  latent = jnp.array([[7.0, 0.0, 1.0]])
  np.testing.assert_allclose(code_loss(outputs, latent, (2,), 0), [np.log(2)])


def test_both_players_pay_for_the_codes_of_fakes():
  gan = game(information_weight=2.0)
  state = jgan.init(gan, jax.random.key(0), BATCH)
  paid = [
    float(
      jax.jit(player.loss)(
        state.variables, BATCH, jax.random.key(1), jnp.int32(0)
      ).metrics['auxiliary']
    )
    for player in gan.players
  ]
  assert paid[0] == pytest.approx(paid[1], rel=1e-6)
  # Untrained, Q only guesses: log 3, and half of two variances of 1/3.
  assert paid[0] == pytest.approx(2 * (np.log(3) + 1 / 3), rel=0.2)


@pytest.mark.slow
def test_codes_become_legible_and_are_obeyed():
  gan = game(
    continuous=0,
    generator_learning_rate=0.001,
    discriminator_learning_rate=0.003,
  )
  state = jgan.init(gan, jax.random.key(0), BATCH)
  for _ in range(400):
    state, metrics = jgan.train_step(gan, state, BATCH, jax.random.key(1))
  assert metrics['generator/auxiliary'] < np.log(3) / 2

  def pictures(key):
    """[3, 32, 64]: of each category, as many with noise at random."""
    noise = jax.random.uniform(key, (96, 2), minval=-1)
    category = jnp.repeat(jnp.arange(3), 32)[:, None]
    latent = jgan.latents.join_codes(noise, category, jnp.zeros((96, 0)), (3,))
    drawn = jgan.sample(gan, state, {'latent': latent}, jax.random.key(2))
    return drawn.reshape(3, 32, -1)

  # Most are nearest to the mean picture of their own category.
  means = pictures(jax.random.key(3)).mean(1)
  others = pictures(jax.random.key(4))[:, :, None]
  nearest = ((others - means[None, None]) ** 2).sum(-1).argmin(-1)
  assert (nearest == jnp.arange(3)[:, None]).mean() > 0.6  # guessing: 1/3


def test_parameter_counts_are_the_papers():
  gan = jgan.models.infogan()
  batch = {'image': jnp.zeros((2, 28, 28, 1))}
  state = jax.eval_shape(partial(jgan.init, gan), jax.random.key(0), batch)
  counted = {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }
  generator = 74 * 1024 + 2 * 1024 + 1024 * 49 * 128 + 2 * 49 * 128
  generator += 16 * 128 * 64 + 2 * 64 + 16 * 64 + 1
  discriminator = 16 * 64 + 64 + 16 * 64 * 128 + 2 * 128
  discriminator += 49 * 128 * 1024 + 2 * 1024 + 1024 + 1
  q = 1024 * 128 + 2 * 128 + 128 * 12 + 12
  assert counted == {'generator': generator, 'discriminator': discriminator + q}


def test_mistakes_are_named():
  for resolution in (30, 4):
    message = f'multiple of 4 of at least 8, got {resolution}'
    with pytest.raises(ValueError, match=message):
      jgan.models.infogan(resolution)
  with pytest.raises(ValueError, match='a category or a continuous code'):
    game(categories=(), continuous=0)
  with pytest.raises(ValueError, match='two values or more'):
    game(categories=(1,))


def test_the_generator_by_hand():
  latent = forwards.normal(4, 5)
  module = Generator(8, 2, width=2, hidden=6)
  variables = forwards.made(module, latent, None, train=True)
  params = variables['params']

  def norm_relu(number, x):
    own = params[f'BatchNorm_{number}']
    return forwards.relu(forwards.batch_norm(own, x))

  x = norm_relu(0, forwards.dense(params['Dense_0'], latent))
  x = norm_relu(1, forwards.dense(params['Dense_1'], x))
  x = forwards.grow(params['ConvTranspose_0'], x.reshape(4, 2, 2, 4))
  x = np.tanh(forwards.grow(params['ConvTranspose_1'], norm_relu(2, x)))
  forwards.assert_computes(module, variables, (latent, None), x, train=True)


def test_the_discriminator_by_hand():
  image = forwards.normal(4, 8, 8, 2)
  module = Discriminator((3,), 2, width=2, hidden=6, q_hidden=5)
  variables = forwards.made(module, image, None, train=True)
  params = variables['params']

  def norm_leaky(number, x):
    own = params[f'BatchNorm_{number}']
    return forwards.leaky_relu(forwards.batch_norm(own, x), 0.1)

  x = forwards.leaky_relu(forwards.conv(params['Conv_0'], image, 2), 0.1)
  x = norm_leaky(0, forwards.conv(params['Conv_1'], x, 2)).reshape(4, -1)
  x = norm_leaky(1, forwards.dense(params['Dense_0'], x))
  logits = forwards.dense(params['Dense_1'], x)
  x = norm_leaky(2, forwards.dense(params['Dense_2'], x))
  guesses = forwards.dense(params['Dense_3'], x)
  got = forwards.outputs(module, variables, image, None, train=True)
  for name, expected in (
    ('logits', logits[:, 0]),
    ('category_logits', guesses[:, :3]),
    ('code_means', guesses[:, 3:]),
  ):
    np.testing.assert_allclose(got[name], expected, rtol=2e-3, atol=2e-4)
