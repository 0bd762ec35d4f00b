"""The GAN of one-hot draws: its schedule, its phases, and that it learns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan.models.gumbelgan import exponential_sharpening

V, T = 4, 3


def game(**options):
  options = {
    'likelihood_steps': 0,
    'n_critic': 1,
    'embedding': 4,
    'hidden': 8,
    'discriminator_embedding': 4,
    'filters': ((1, 8), (2, 8)),
    'generator_learning_rate': 2e-2,
    'discriminator_learning_rate': 2e-2,
    **options,
  }
  return jgan.models.gumbelgan(V, T, **options)


def test_the_inverse_temperature_grows_by_a_factor_in_each_step():
  beta = exponential_sharpening(100.0, 10, 4)
  steps = jnp.array([0, 10, 11, 12, 14, 50])
  expected = [1, 1, 100**0.25, 10, 100, 100]
  np.testing.assert_allclose(jax.vmap(beta)(steps), expected, rtol=1e-5)


def test_phases_follow_each_other():
  gan = game(likelihood_steps=1, n_critic=2)
  moves = [jgan.moves(gan, step) for step in range(4)]
  both = ('discriminator', 'generator')
  assert moves == [('likelihood',), both[:1], both, both[:1]]


@pytest.mark.slow
def test_it_learns_a_text_from_the_game_alone():
  text = jnp.array([2, 0, 3])
  batch = {'tokens': jnp.broadcast_to(text, (16, T))}
  gan, asked = game(), {'index': jnp.arange(100)}

  def play(key):
    start = jgan.init(gan, key, batch)
    last, _ = jgan.train_steps(
      gan, start, lambda step: batch, key, count=250, unroll=False
    )
    return jnp.stack(
      [
        (jgan.sample(gan, state, asked, key) == text[None]).mean()
        for state in (start, last)
      ]
    )

  # Of several seeds, as some come to say the wrong token for sure, and stay.
  keys = jax.vmap(jax.random.key)(jnp.arange(8))
  before, after = np.median(jax.jit(jax.vmap(play))(keys), 0)
  assert before < 0.5
  assert after > 0.8


def test_losses_that_compare_examples_see_those_of_all_devices():
  tokens = np.random.default_rng(0).integers(0, V, (8, T), np.int32)
  batch = {'tokens': jnp.asarray(tokens), 'index': jnp.arange(8)}
  options = {'loss': jgan.losses.relativistic_average, 'dropout': 0.0}
  state = jgan.init(game(**options), jax.random.key(0), batch)
  # Far from where they start, so that the means of the halves differ.
  variables = jax.tree.map(lambda x: 5 * x, state.variables)

  def told(players, batch):
    arguments = variables, batch, jax.random.key(1), jnp.int32(0)
    return {player.name: player.loss(*arguments).loss for player in players}

  whole = told(game(**options).players, batch)
  apart = jax.pmap(
    functools.partial(told, game(**options, axis_name='batch').players),
    'batch',
    devices=jax.devices()[:2],
  )(jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch))
  for name, losses in apart.items():
    np.testing.assert_allclose(losses, float(whole[name]), rtol=1e-5)


def test_mistakes_are_named():
  with pytest.raises(ValueError, match='gumbelgan: n_critic must be 1 or more'):
    game(n_critic=0)
  with pytest.raises(ValueError, match=r"gumbelgan: .*'tokens', got \['x'\]"):
    jgan.init(game(), jax.random.key(0), {'x': jnp.zeros(2)})
