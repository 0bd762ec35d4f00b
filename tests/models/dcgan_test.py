"""DCGAN: packs of pictures, each with its own label."""

import functools
import re

import forwards
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan.models.dcgan import Discriminator, Generator, layer_widths

KEY = jax.random.key(0)


@pytest.mark.parametrize(('num_classes', 'inputs'), [(None, 6), (3, 6 + 6)])
def test_packs_of_labelled_pictures_are_played(num_classes, inputs):
  gan = jgan.models.dcgan(8, 3, num_classes=num_classes, width=2, pack=2)
  batch = {
    'image': jnp.zeros((4, 8, 8, 3)),
    'label': jnp.array([0, 1, 2, 0]),
  }
  state = jax.eval_shape(functools.partial(jgan.init, gan), KEY, batch)
  first = state.variables['discriminator']['params']['Conv_0']['kernel']
  assert first.shape == (4, 4, inputs, 2)
  after, _ = jax.eval_shape(
    functools.partial(jgan.train_step, gan), state, batch, KEY
  )
  assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)


def test_a_pack_is_judged_by_the_label_of_each_picture():
  discriminator = Discriminator(2, num_classes=3, batch_norm=False)
  images = jnp.ones((4, 8, 8, 2))
  labels = jnp.array([[0, 1], [0, 2], [1, 0], [0, 1]])
  variables = discriminator.init(KEY, images, labels, train=True)
  logits = discriminator.apply(variables, images, labels, train=True)
  assert len(np.unique(logits[:3])) == 3
  assert float(logits[3]) == float(logits[0])


def halves_exactly(height, width):
  """Whether both stay whole until the shorter has less than 8 pixels."""
  if min(height, width) < 8:
    return False
  while min(height, width) >= 8:
    if height % 2 or width % 2:
      return False
    height, width = height / 2, width / 2
  return True


@pytest.mark.parametrize(
  ('shape', 'base'),
  [((64, 48), (8, 6)), ((80, 64), (5, 4)), ((8, 52), (4, 26))],
)
def test_pictures_of_any_height_and_width_grow_from_a_base(shape, base):
  gan = jgan.models.dcgan(shape, 3, width=4, latent_dim=8)
  batch = {'image': jnp.zeros((2, *shape, 3))}
  state = jax.eval_shape(functools.partial(jgan.init, gan), KEY, batch)
  last = min(4 * shape[0] // base[0] // 2, 4 * 8)  # channels at the base
  generator, discriminator = (
    state.variables[name]['params'] for name in ('generator', 'discriminator')
  )
  area = base[0] * base[1]
  assert generator['Dense_0']['kernel'].shape == (8, area * last)
  assert discriminator['Dense_0']['kernel'].shape == (area * last, 1)
  made = jax.eval_shape(functools.partial(jgan.sample, gan), state, batch, KEY)
  assert made.shape == (2, *shape, 3)


@pytest.mark.parametrize(
  'model', [jgan.models.wgan, jgan.models.dragan], ids=['wgan', 'dragan']
)
def test_games_with_its_networks_take_height_and_width(model):
  gan = model((8, 16), 1, width=4)
  batch = {'image': jnp.zeros((2, 8, 16, 1)), 'index': jnp.arange(2)}
  state = jax.eval_shape(functools.partial(jgan.init, gan), KEY, batch)
  made = jax.eval_shape(functools.partial(jgan.sample, gan), state, batch, KEY)
  assert made.shape == (2, 8, 16, 1)


@pytest.mark.parametrize('model', [jgan.models.dcgan, jgan.models.mocogan])
@pytest.mark.parametrize(('rate', 'expected'), [(None, 0.5), (0.0, 0.0)])
def test_a_rate_of_zero_is_not_the_generators(model, rate, expected):
  gan = model(8, learning_rate=0.5, discriminator_learning_rate=rate)
  moved = []
  for player in gan.players:
    adam = player.optimizer
    updates, _ = adam.update(jnp.ones(()), adam.init(jnp.zeros(())))
    moved.append(-float(updates))
  *discriminators, generator = moved
  assert generator == pytest.approx(0.5, rel=1e-4)
  np.testing.assert_allclose(discriminators, expected, rtol=1e-4)


def test_height_is_told_from_width():
  gan = jgan.models.dcgan((8, 16), width=4)
  with pytest.raises(ValueError, match=r'\[8, 16, 1\].*\[16, 8, 1\]'):
    jgan.init(gan, KEY, {'image': jnp.zeros((2, 16, 8, 1))})


def test_a_square_is_the_same_by_one_number_or_two():
  batch = {'image': jnp.zeros((2, 16, 16, 1))}
  shapes = [
    jax.eval_shape(
      functools.partial(jgan.init, jgan.models.dcgan(resolution, width=4)),
      KEY,
      batch,
    )
    for resolution in (16, (16, 16))
  ]
  assert jax.tree.map(jnp.shape, shapes[0]) == jax.tree.map(
    jnp.shape, shapes[1]
  )


@pytest.mark.parametrize(
  ('resolution', 'nearest'),
  [
    ((64, 45), (64, 48)),
    ((80, 60), (80, 64)),
    ((100, 64), (96, 64)),
    ((9, 31), (10, 32)),
    ((4, 100), (8, 100)),
    ((0, 8), (8, 8)),
    (24, (24, 24)),
    (50, (48, 48)),
    (4, (8, 8)),
  ],
)
def test_the_nearest_possible_size_is_named(resolution, nearest):
  with pytest.raises(ValueError, match=re.escape(str(resolution))) as error:
    jgan.models.dcgan(resolution)
  assert f'{nearest} is the nearest' in str(error.value)
  jgan.models.dcgan(nearest)


def test_what_halves_exactly_is_built_and_nothing_else():
  for height in range(2, 70, 2):
    for width in (8, 30, 31, 48, 64):
      if halves_exactly(height, width):
        halvings = len(layer_widths((height, width), 1))
        assert 4 <= min(height, width) >> halvings <= 7
      else:
        with pytest.raises(ValueError, match='the nearest') as error:
          layer_widths((height, width), 1)
        numbers = re.findall(r'\((\d+), (\d+)\)', str(error.value))
        assert halves_exactly(*map(int, numbers[-1]))


@pytest.mark.parametrize('train', [True, False])
def test_the_generator_by_hand(train):
  latent, label = forwards.normal(3, 5), jnp.array([2, 0, 1])
  module = Generator(16, 2, width=2, num_classes=3)
  variables = forwards.made(module, latent, label, train=True)
  params, statistics = variables['params'], variables['batch_stats']

  def norm_relu(number, x):
    name = f'BatchNorm_{number}'
    running = None if train else statistics[name]
    return forwards.relu(forwards.batch_norm(params[name], x, running))

  x = np.concatenate([latent, np.eye(3)[label]], -1)
  x = forwards.dense(params['Dense_0'], x).reshape(3, 4, 4, 4)
  x = norm_relu(0, x)
  x = norm_relu(1, forwards.grow(params['ConvTranspose_0'], x))
  x = np.tanh(forwards.grow(params['ConvTranspose_1'], x))
  forwards.assert_computes(module, variables, (latent, label), x, train=train)


@pytest.mark.parametrize('batch_norm', [True, False])
def test_the_discriminator_by_hand(batch_norm):
  image, label = forwards.normal(3, 16, 16, 2), jnp.array([2, 0, 1])
  module = Discriminator(2, num_classes=3, batch_norm=batch_norm)
  variables = forwards.made(module, image, label, train=True)
  params = variables['params']
  planes = np.eye(3)[label][:, None, None].repeat(16, 1).repeat(16, 2)
  x = np.concatenate([image, planes], -1)
  x = forwards.leaky_relu(forwards.conv(params['Conv_0'], x, 2))
  x = forwards.conv(params['Conv_1'], x, 2)
  if batch_norm:
    x = forwards.batch_norm(params['BatchNorm_0'], x)
  x = forwards.leaky_relu(x).reshape(3, 4 * 4 * 4)
  x = forwards.dense(params['Dense_0'], x)[:, 0]
  forwards.assert_computes(module, variables, (image, label), x, train=True)
