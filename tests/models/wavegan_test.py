"""WaveGAN: phase shuffle by hand, sizes, lengths, labels."""

from functools import partial

import flax.linen as nn
import forwards
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from games import assert_close

import jgan
from jgan.models.wavegan import (
  Critic,
  Generator,
  _Shrink,
  phase_shuffle,
  strides,
  wavegan,
)

key = jax.random.key


def steps(*rows):
  return jnp.array(rows, jnp.float32)[..., None]


def test_phase_shuffle_moves_each_example_by_its_own_shift():
  x = steps(*[[0, 1, 2, 3]] * 5)
  y = phase_shuffle(x, jnp.array([0, 1, 2, -1, -2]), 2)
  expected = [
    [0, 1, 2, 3],
    [1, 0, 1, 2],
    [2, 1, 0, 1],
    [1, 2, 3, 2],
    [2, 3, 2, 1],
  ]
  np.testing.assert_array_equal(y[..., 0], expected)


def test_phase_shuffle_keeps_channels_apart_and_shifts_in_their_bounds():
  x = jnp.stack([steps([0, 1, 2]), 10 * steps([0, 1, 2])], 2)[..., 0]
  y = phase_shuffle(x, jnp.array([5]), 1)
  np.testing.assert_array_equal(y[0], [[1, 10], [0, 0], [1, 10]])


def test_the_derivative_of_phase_shuffle_moves_back():
  x = steps([0, 1, 2, 3])
  weights = jnp.array([1.0, 10, 100, 1000])[None, :, None]

  def total(x):
    return (weights * phase_shuffle(x, jnp.array([2]), 2)).sum()

  # y is x at 2, 1, 0, 1.
  np.testing.assert_array_equal(jax.grad(total)(x)[0, :, 0], [100, 1010, 1, 0])


def test_phase_shuffle_needs_something_to_mirror():
  with pytest.raises(ValueError, match=r'up to 2 steps .* got 2'):
    phase_shuffle(steps([0, 1]), jnp.array([0]), 2)


def test_parameter_counts_are_the_papers():
  batch = {'sound': jnp.zeros((2, 16384, 1))}
  state = jax.eval_shape(partial(jgan.init, wavegan()), key(0), batch)
  counted = {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }
  inner = 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64)
  assert counted == {
    'generator': 101 * 16 * 1024 + inner + 512 + 256 + 128 + 64 + 1,
    'discriminator': inner + 64 + 128 + 256 + 512 + 1024 + 16 * 1024,
  }


@pytest.mark.parametrize(
  ('length', 'expected'),
  [
    (64, (4,)),
    (128, (2, 4)),
    (4096, (4,) * 4),
    (8192, (2, *(4,) * 4)),
    (16384, (4,) * 5),
    (32768, (2, *(4,) * 5)),
    (65536, (4,) * 6),
  ],
)
def test_lengths_shrink_to_16_steps(length, expected):
  assert strides(length) == expected
  assert length == 16 * np.prod(expected)


@pytest.mark.parametrize('length', [0, 16, 32, 100, 8000])
def test_other_lengths_are_told(length):
  with pytest.raises(ValueError, match=f'power of two .* 64.* got {length}'):
    wavegan(length)


def test_a_layer_of_the_critic_is_linens():
  x = jax.random.normal(key(1), (2, 64, 3))
  ours, linens = _Shrink(5, 4), nn.Conv(5, (25,), (4,))
  variables = ours.init(key(0), x)
  bias = jnp.arange(5.0)
  variables = {'params': {**variables['params'], 'bias': bias}}
  assert_close(ours.apply(variables, x), linens.apply(variables, x), 1e-5)


def test_the_critic_judges_each_example_by_itself_but_for_its_shifts():
  one = jnp.tanh(jax.random.normal(key(1), (1, 256, 1)))
  sound = jnp.concatenate([one] * 4)
  critic = Critic(4)
  variables = critic.init(key(0), sound, None, train=False)

  @partial(jax.jit, static_argnames='train')
  def values(sound, train):
    return critic.apply(
      variables, sound, None, train=train, rngs={'params': key(2)}
    )

  still, shuffled = values(sound, train=False), values(sound, train=True)
  assert_close(still, jnp.broadcast_to(still[:1], (4,)), 1e-6)
  assert_close(still[:1], values(one, train=False), 1e-6)
  # Of one sound, the shifts alone make the values differ.
  assert len(np.unique(np.asarray(shuffled))) > 1
  same = critic.clone(shuffle=0).apply(variables, sound, None, train=True)
  assert_close(same, still, 1e-6)


def test_a_label_adds_the_product_of_its_embedding():
  sound = jnp.tanh(jax.random.normal(key(1), (1, 64, 1)))
  critic = Critic(4, num_classes=3, shuffle=0)
  variables = critic.init(key(0), sound, jnp.array([0]), train=False)
  apply = partial(critic.apply, variables, train=False)
  of_classes = [float(apply(sound, jnp.array([i]))[0]) for i in range(3)]
  kernels = {
    name: np.asarray(layer['kernel'])
    for name, layer in variables['params'].items()
  }
  layer = _Shrink(4, 4)
  features = nn.leaky_relu(
    layer.apply({'params': variables['params']['_Shrink_0']}, sound), 0.2
  ).reshape(-1)
  expected = [
    features @ (kernels['Dense_0'][:, 0] + kernels['Dense_1'][i])
    for i in range(3)
  ]
  np.testing.assert_allclose(of_classes, expected, rtol=1e-4, atol=1e-6)
  assert len(set(of_classes)) == 3


def test_missing_labels_and_another_length_are_told():
  batch = {'sound': jnp.zeros((2, 64, 1))}
  with pytest.raises(ValueError, match=r"num_classes=3 .* needs a 'label'"):
    jgan.init(wavegan(64, num_classes=3), key(0), batch)
  small = {'generator_width': 2, 'critic_width': 2}
  with pytest.raises(ValueError, match=r'\[128, 1\].*\[64, 1\]'):
    jgan.init(wavegan(128, **small), key(0), batch)


def test_latents_are_uniform():
  latent = np.asarray(
    wavegan(64, latent_dim=1000).sample.__self__.latent(key(0))
  )
  assert -1 <= latent.min() < -0.99
  assert 0.99 < latent.max() < 1
  assert latent.std() == pytest.approx(1 / np.sqrt(3), rel=0.05)


def test_the_penalty_is_ten_times_as_heavy():
  batch = {'sound': jnp.tanh(jax.random.normal(key(1), (4, 64, 1)))}
  game = wavegan(64, generator_width=2, critic_width=2, latent_dim=2)

  @jax.jit
  def loss():
    zero = jnp.zeros((), int)
    variables = jgan.init(game, key(0), batch).variables
    # A critic whose value is 0 everywhere has slope 0, one from 1.
    flat = jax.tree.map(jnp.zeros_like, variables['discriminator'])
    flat = {**variables, 'discriminator': flat}
    return game.players[0].loss(flat, batch, key(2), zero).loss

  assert float(loss()) == pytest.approx(10)


def test_the_generator_by_hand():
  latent, label = forwards.normal(3, 5), jnp.array([2, 0, 1])
  module = Generator(128, 2, width=2, num_classes=3)
  variables = forwards.made(module, latent, label, train=True)
  params = variables['params']
  x = np.concatenate([latent, np.eye(3)[label]], -1)
  x = forwards.relu(forwards.dense(params['Dense_0'], x)).reshape(3, 16, 4)
  x = forwards.relu(forwards.grow(params['ConvTranspose_0'], x, 4))
  x = np.tanh(forwards.grow(params['ConvTranspose_1'], x, 2))
  forwards.assert_computes(module, variables, (latent, label), x, train=True)


def test_the_critic_by_hand_but_for_its_shifts():
  sound = forwards.normal(3, 128, 2)
  module = Critic(2)
  variables = forwards.made(module, sound, None, train=False)
  params, x = variables['params'], sound
  for i, stride in enumerate((2, 4)):
    x = forwards.conv(params[f'_Shrink_{i}'], x, stride)
    x = forwards.leaky_relu(x)
  x = forwards.dense(params['Dense_0'], x.reshape(3, -1))[:, 0]
  forwards.assert_computes(module, variables, (sound, None), x, train=False)


def test_shifts_go_as_far_either_way_and_not_before_the_first_layer():
  sound, seen = jnp.tile(forwards.normal(1, 128, 1), (200, 1, 1)), []
  critic = Critic(1)
  variables = forwards.made(critic, sound, None, train=False)

  def record(call, args, kwargs, context):
    if isinstance(context.module, _Shrink):
      seen.append(np.asarray(args[0])[:, :, 0])
    return call(*args, **kwargs)

  variables = jax.tree.map(jnp.asarray, variables)
  with nn.intercept_methods(record):
    critic.apply(variables, sound, None, train=True, rngs={'params': key(2)})
    critic.apply(variables, sound[:1], None, train=False)
  first, second, _, (still,) = seen
  np.testing.assert_array_equal(first, sound[..., 0])
  shifts = range(-3, 4)
  moved = np.stack([still[8 - shift : 24 - shift] for shift in shifts])
  apart = np.abs(second[:, None, 8:24] - moved).max(2)
  assert apart.min(1).max() < 1e-5
  assert {shifts[i] for i in apart.argmin(1)} == {-2, -1, 0, 1, 2}
