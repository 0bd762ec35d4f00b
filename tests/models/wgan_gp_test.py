"""WGAN-GP: sizes, a critic of single pictures, and the penalty's weight."""

from functools import partial

import forwards
import jax
import jax.numpy as jnp
import pytest
from games import assert_close

import jgan
from jgan.models.wgan_gp import Critic, wgan_gp

key = jax.random.key


def test_parameter_counts():
  batch = {'image': jnp.zeros((2, 32, 32, 3))}
  state = jax.eval_shape(partial(jgan.init, wgan_gp()), key(0), batch)
  counted = {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }
  kernel, norm = 9 * 128**2, 2 * 128
  up = 2 * kernel + 128**2 + 2 * norm
  first = 27 * 128 + 128 + kernel + 128 + 3 * 128 + 128
  down = 2 * (kernel + 128) + 128**2 + 128
  assert counted == {
    'generator': 129 * 16 * 128 + 3 * up + norm + 9 * 128 * 3 + 3,
    'discriminator': first + down + 4 * (kernel + 128) + 128,
  }


def test_the_critic_judges_each_picture_by_itself():
  image = jax.random.normal(key(1), (4, 8, 8, 3))
  critic = Critic(4)

  @jax.jit
  def values():
    variables = critic.init(key(0), image, None, train=True)
    apply = partial(critic.apply, variables, label=None, train=True)
    return apply(image), apply(image[:1]), apply(2 * image)[0]

  together, alone, louder = values()
  assert_close(together[:1], alone, 1e-6)
  # Without biases, as it starts, it grows with the picture: no norm is in it.
  assert_close(louder, 2 * together[0], 1e-6)


def test_the_penalty_is_of_slope_1_and_ten_times_as_heavy():
  batch = {'image': jnp.tanh(jax.random.normal(key(1), (4, 8, 8, 3)))}
  weights = {'the default': {}, 'none': {'penalty_weight': 0.0}}
  games = {
    name: wgan_gp(8, generator_width=2, critic_width=4, latent_dim=2, **weight)
    for name, weight in weights.items()
  }

  @jax.jit
  def losses():
    zero = jnp.zeros((), int)
    variables = jgan.init(games['none'], key(0), batch).variables
    # A critic whose value is 0 everywhere has slope 0, one from 1.
    flat = jax.tree.map(jnp.zeros_like, variables['discriminator'])
    flat = {**variables, 'discriminator': flat}
    return {
      name: game.players[0].loss(flat, batch, key(2), zero).loss
      for name, game in games.items()
    }

  found = jax.tree.map(float, losses())
  assert found == {'the default': pytest.approx(10), 'none': 0}


def test_the_critic_by_hand():
  image = forwards.normal(3, 8, 8, 2)
  module = Critic(4)
  variables = forwards.made(module, image, None, train=True)
  params = variables['params']
  x = forwards.first_block(params['DownBlock_0'], image)
  x = forwards.plain_block(params['PlainBlock_0'], x)
  x = forwards.relu(x).mean((1, 2))
  values = forwards.dense(params['Dense_0'], x)[:, 0]
  forwards.assert_computes(module, variables, (image, None), values, train=True)


def test_a_block_narrows_to_its_input_before_it_widens():
  image = jnp.zeros((2, 64, 64, 3))
  form = jax.eval_shape(
    partial(Critic(4).init, train=True), key(0), image, None
  )
  found = [
    form['params'][f'DownBlock_{i}'][f'Conv_{j}']['kernel'].shape[-1]
    for i in (1, 2)
    for j in (0, 1)
  ]
  assert found == [2, 4, 4, 8]


def test_schedules_count_the_moves_of_the_generator():
  gan = wgan_gp(learning_rate=lambda count: 1.0 / (1 + count), n_critic=2)
  sizes = {}
  for player in gan.players:
    state = player.optimizer.init(jnp.ones(()))
    taken = sizes[player.name] = []
    for _ in range(4):  # Adam's moves along one gradient are of the rate
      update, state = player.optimizer.update(jnp.ones(()), state)
      taken.append(-float(update))
  assert sizes == {
    'discriminator': pytest.approx([1, 1, 1 / 2, 1 / 2], rel=1e-4),
    'generator': pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], rel=1e-4),
  }
