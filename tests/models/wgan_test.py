"""WGAN: the critic never leaves its box, to the last bit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgan
from jgan.models.wgan import keep_params_in_box

CLIP = 0.01
BATCH = {'image': jnp.tanh(jax.random.normal(jax.random.key(5), (4, 8, 8, 1)))}


def game(**numbers):
  return jgan.models.wgan(8, 1, width=4, latent_dim=3, **numbers)


def largest(state):
  params = state.variables['discriminator']['params']
  return max(float(jnp.abs(x).max()) for x in jax.tree.leaves(params))


def test_after_each_step_no_weight_of_the_critic_is_above_the_bound():
  # A learning rate at which every weight would jump over the box.
  gan = game(learning_rate=0.05, n_critic=1)
  state = jgan.init(gan, jax.random.key(0), BATCH)
  assert largest(state) == np.float32(CLIP)
  for _ in range(3):
    state, metrics = jgan.train_step(gan, state, BATCH, jax.random.key(1))
    assert largest(state) == np.float32(CLIP)
    assert metrics['discriminator/loss'] != 0


def test_the_generator_is_free():
  gan = game(learning_rate=0.05, n_critic=1)
  state = jgan.init(gan, jax.random.key(0), BATCH)
  state, _ = jgan.train_step(gan, state, BATCH, jax.random.key(1))
  params = state.variables['generator']['params']
  assert all(float(jnp.abs(x).max()) > CLIP for x in jax.tree.leaves(params))


def test_the_critic_moves_five_times_for_the_generators_once():
  moves = [jgan.moves(game(), step) for step in range(10)]
  assert sum('discriminator' in m for m in moves) == 10
  assert [i for i, m in enumerate(moves) if 'generator' in m] == [4, 9]


def moved(params, updates, bound=CLIP):
  @jax.jit
  def move(params, updates):
    updates, _ = keep_params_in_box(bound).update(updates, None, params)
    return optax.apply_updates(params, updates)

  return np.asarray(move(jnp.asarray(params), jnp.asarray(updates)))


def test_projection_by_hand():
  params = [0.0, 0.5, -0.25, 3.0]
  updates = [0.125, 1.0, -2.0, -0.5]
  np.testing.assert_array_equal(
    moved(params, updates, 0.5), [0.125, 0.5, -0.5, 0.5]
  )


@pytest.mark.parametrize('bound', [0.01, 0.007, 0.3, 1.0])
@pytest.mark.parametrize('scale', [1e-4, 1.0, 1e3])
def test_projection_is_exact_whatever_the_rounding(bound, scale):
  draw = np.random.default_rng(0)
  params, updates = draw.normal(0, scale, (2, 50_000)).astype('float32')
  ends, limit = moved(params, updates, bound), np.float32(bound)
  assert np.abs(ends).max() <= limit
  # And no further inside than rounding asks for.
  expected = np.clip(params + updates, -limit, limit)
  grain = np.spacing(np.abs(params).max())
  np.testing.assert_allclose(ends, expected, rtol=0, atol=grain)


def test_derivatives_stop_at_the_box():
  def ends(params):
    updates = jnp.array([0.125, 1.0, -2.0, -0.5])
    updates, _ = keep_params_in_box(0.3).update(updates, None, params)
    return optax.apply_updates(params, updates).sum()

  slopes = jax.grad(ends)(jnp.array([0.0, 0.4, -0.2, 3.0]))
  np.testing.assert_array_equal(slopes, [1, 0, 0, 0])


def test_mistakes_are_named():
  with pytest.raises(ValueError, match='must be positive, got 0'):
    game(clip=0.0)
  with pytest.raises(ValueError, match='needs the params'):
    keep_params_in_box(1.0).update(jnp.zeros(2), None)
  with pytest.raises(ValueError, match='power of two of at least 8, got 24'):
    jgan.models.wgan(24)


def test_both_move_by_rmsprop_of_pytorch():
  # Its epsilon beside the root leaves small gradients their pace.
  for player in game(learning_rate=1e-4).players:
    state = player.optimizer.init(jnp.zeros(()))
    for gradient in (1.0, 1e-6):
      update, _ = player.optimizer.update(
        jnp.float32(gradient), state, jnp.zeros(())
      )
      expected = 1e-4 * gradient / (np.sqrt(0.01) * gradient + 1e-8)
      assert -float(update) == pytest.approx(expected, rel=1e-3)


def test_the_critic_has_no_bias_of_its_values():
  state = jax.eval_shape(lambda: jgan.init(game(), jax.random.key(0), BATCH))
  last = state.variables['discriminator']['params']['Dense_0']
  assert set(last) == {'kernel'}
