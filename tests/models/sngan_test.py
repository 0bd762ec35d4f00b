"""SNGAN: sizes, first statistics, labels, and the pace of its rates."""

from functools import partial

import flax.linen as nn
import forwards
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from games import assert_close

import jgan
from jgan.models.sngan import (
  Discriminator,
  Generator,
  at_generator_pace,
  projection,
  sngan,
  widths,
)

key = jax.random.key


def batch(n=4, resolution=32, classes=10):
  coarse = jax.random.normal(key(5), (n, 4, 4, 3))
  image = jax.image.resize(coarse, (n, resolution, resolution, 3), 'linear')
  return {'image': jnp.tanh(2 * image), 'label': jnp.arange(n) % classes}


def shapes(gan, resolution=32):
  """Each player's variables, by their shapes alone."""
  images = batch(2, resolution)
  return jax.eval_shape(partial(jgan.init, gan), key(0), images).variables


def counts(gan, resolution=32):
  return {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in shapes(gan, resolution).items()
  }


def test_parameter_counts_at_32_pixels():
  # Mimicry's networks: 4.3M and 1.1M. Biases before a normalisation, three to a
  # block of the generator, are left out here.
  dense, norm, last = 129 * 16 * 256, 2 * 256, 9 * 256 * 3 + 3
  up = 2 * 9 * 256**2 + 256**2 + 2 * norm
  conv = 9 * 128**2 + 128
  first = 9 * 3 * 128 + 128 + conv + 3 * 128 + 128
  down = 2 * conv + 128**2 + 128
  expected = {
    'generator': dense + 3 * up + norm + last,
    'discriminator': first + down + 2 * 2 * conv + 129,
  }
  assert counts(sngan()) == expected
  assert expected['generator'] + 3 * 3 * 256 == 4_276_739
  assert expected['discriminator'] == 1_053_825


def test_parameter_counts_with_labels():
  plain, labelled = counts(sngan()), counts(sngan(num_classes=10))
  # Six normalisations have a scale and a bias for each of ten classes.
  more = 6 * (10 - 1) * 2 * 256
  assert labelled['generator'] - plain['generator'] == more
  assert labelled['discriminator'] - plain['discriminator'] == 10 * 128


def test_widths_at_128_pixels_are_the_papers():
  assert widths(128, 256, 4) == (1024, 1024, 512, 256, 128, 64)
  variables = shapes(sngan(128), 128)
  kernels = {
    path[-3].key: x.shape
    for path, x in jax.tree_util.tree_leaves_with_path(
      variables['discriminator']['params']
    )
    if path[-2].key == 'Conv_1' and path[-1].key == 'kernel'
  }
  out = [shape[-1] for name, shape in kernels.items() if name[0] == 'D']
  assert out == [64, 128, 256, 512, 1024]
  # But for the first, a block is as wide inside as what it is given.
  inside = [shape[-2] for name, shape in kernels.items() if name[0] == 'D']
  assert inside == [64, 64, 128, 256, 512]
  assert kernels['PlainBlock_0'][-1] == 1024


@pytest.mark.parametrize('resolution', [8, 16, 64])
def test_other_resolutions_fit_their_pictures(resolution):
  gan = sngan(resolution, generator_width=6, discriminator_width=3)
  shapes(gan, resolution)  # refuses a generator of other pictures
  latents = {'latent': jnp.zeros((2, 128))}
  state = jax.eval_shape(partial(jgan.init, gan), key(0), batch(2, resolution))
  images = jax.eval_shape(partial(jgan.sample, gan), state, latents, key(1))
  assert images.shape == (2, resolution, resolution, 3)


@pytest.fixture(scope='module')
def played():
  """How far each layer's outputs spread at first, and all gradients."""
  gan = sngan(16, generator_width=32, discriminator_width=32)
  images, step = {'image': batch(8, 16)['image']}, jnp.zeros((), int)

  @jax.jit
  def play(variables):
    spread, grads = {}, {}

    def record(call, args, kwargs, context):
      out = call(*args, **kwargs)
      if isinstance(out, jax.Array) and context.method_name == '__call__':
        spread['/'.join(context.module.path)] = out.std()
      return out

    def loss(params, player):
      moving = {**variables[player.name], 'params': params}
      everyone = {**variables, player.name: moving}
      out = player.loss(everyone, images, key(1), step)
      return out.loss, out.metrics

    with nn.intercept_methods(record):
      gan.players[-1].loss(variables, images, key(1), step)
    for player in gan.players:
      params = variables[player.name]['params']
      grads[player.name], _ = jax.grad(loss, has_aux=True)(params, player)
    return spread, grads

  return jax.device_get(play(jgan.init(gan, key(0), images).variables))


@pytest.mark.slow
def test_signals_keep_their_size_through_the_blocks(played):
  spread, _ = played
  for i in range(2):  # the gain of sqrt(2) makes up for the ReLUs
    for name in ('Conv_0', 'Conv_1'):
      assert 0.7 < spread[f'UpBlock_{i}/{name}'] < 1.4, (i, name)
    assert 0.7 < spread[f'UpBlock_{i}'] < 2
  # Spectral norm lets the discriminator's shrink, and the sum over the pixels
  # makes up for it.
  for block in ('DownBlock_0', 'DownBlock_1', 'PlainBlock_0'):
    assert 0.05 < spread[block] < 1, block


@pytest.mark.slow
def test_gradients_reach_the_first_layers(played):
  _, grads = played
  for own in grads.values():
    sizes = {
      jax.tree_util.keystr(path): float(np.sqrt((x**2).mean()))
      for path, x in jax.tree_util.tree_leaves_with_path(own)
      if path[-1].key == 'kernel' and 'Block' in path[0].key
    }
    assert min(sizes.values()) * 10 > max(sizes.values()), sizes


def test_conditional_norms_start_alike_for_all_classes():
  network = Generator(8, 1, width=4, num_classes=3)
  latent = jax.random.normal(key(1), (4, 5))

  @jax.jit
  def pictures(*labels):
    variables = network.init(key(0), latent, labels[0], train=True)
    return [network.apply(variables, latent, x, train=False) for x in labels]

  first, other = pictures(jnp.zeros(4, int), jnp.arange(4) % 3)
  assert_close(first, other, 0)
  assert float(first.std()) > 0.1


class End(nn.Module):
  num_classes: int | None

  @nn.compact
  def __call__(self, x, label):
    return projection(x, label, self.num_classes, lambda layer: layer)


def test_projection_adds_the_inner_product_with_the_class():
  x, label = jax.random.normal(key(1), (4, 2, 2, 5)), jnp.array([2, 0, 1, 2])
  network = End(3)
  variables = network.init(key(0), x, label)
  linear, embedding = (variables['params'][f'Dense_{i}'] for i in range(2))
  features = np.maximum(x, 0).sum((1, 2))
  logits = (features @ linear['kernel'])[:, 0] + linear['bias']
  inner = (features * embedding['kernel'][label]).sum(-1)
  assert_close(network.apply(variables, x, label), logits + inner, 1e-5)
  own = {'params': {'Dense_0': linear}}
  assert_close(End(None).apply(own, x, None), logits, 1e-5)


def test_missing_labels_are_named():
  gan = sngan(8, num_classes=3)
  images = {'image': jnp.zeros((2, 8, 8, 3))}
  with pytest.raises(ValueError, match=r"num_classes=3 .* needs a 'label'"):
    jax.eval_shape(partial(jgan.init, gan), key(0), images)


def test_schedules_count_the_moves_of_the_generator():
  rates = optax.piecewise_interpolate_schedule('linear', 0.5, {4: 0.0})
  gan = sngan(learning_rate=rates, n_critic=2)
  sizes = {}
  for player in gan.players:
    state = player.optimizer.init(jnp.ones(()))
    taken = sizes[player.name] = []
    for _ in range(5):  # Adam's moves along one gradient are of the rate
      update, state = player.optimizer.update(jnp.ones(()), state)
      taken.append(-float(update))
  expected = {
    'discriminator': [0.5, 0.5, 0.375, 0.375, 0.25],
    'generator': [0.5, 0.375, 0.25, 0.125, 0],
  }
  assert sizes == {k: pytest.approx(v, abs=1e-6) for k, v in expected.items()}


def test_a_number_is_one_rate_for_both():
  assert at_generator_pace(0.25, 5) == 0.25


@pytest.mark.parametrize('train', [True, False])
def test_the_generator_by_hand(train):
  latent, label = forwards.normal(3, 5), jnp.array([2, 0, 1])
  module = Generator(8, 2, width=4, num_classes=3)
  variables = forwards.made(module, latent, label, train=True)
  params, statistics = variables['params'], variables['batch_stats']
  block, of_block = params['UpBlock_0'], statistics['UpBlock_0']

  def conditional(number, x):
    name = f'ConditionalBatchNorm_{number}'
    running = None if train else of_block[name]['BatchNorm_0']
    scale, bias = (
      block[name][entry]['kernel'][label][:, None, None]
      for entry in ('scale', 'bias')
    )
    return forwards.batch_norm({}, x, running) * (1 + scale) + bias

  x = forwards.dense(params['Dense_0'], latent).reshape(3, 4, 4, 4)
  x = forwards.up_block(block, x, conditional)
  running = None if train else statistics['BatchNorm_0']
  x = forwards.relu(forwards.batch_norm(params['BatchNorm_0'], x, running))
  x = np.tanh(forwards.conv(params['Conv_0'], x))
  forwards.assert_computes(module, variables, (latent, label), x, train=train)


@pytest.mark.parametrize('train', [True, False])
def test_without_labels_norms_are_plain(train):
  latent = forwards.normal(3, 5)
  module = Generator(8, 2, width=4)
  variables = forwards.made(module, latent, None, train=True)
  params, statistics = variables['params'], variables['batch_stats']

  def plain(x, *path):
    own, running = params, statistics
    for name in path:
      own, running = own[name], running[name]
    return forwards.batch_norm(own, x, None if train else running)

  def in_block(number, x):
    return plain(x, 'UpBlock_0', f'BatchNorm_{number}')

  x = forwards.dense(params['Dense_0'], latent).reshape(3, 4, 4, 4)
  x = forwards.up_block(params['UpBlock_0'], x, in_block)
  x = forwards.relu(plain(x, 'BatchNorm_0'))
  x = np.tanh(forwards.conv(params['Conv_0'], x))
  forwards.assert_computes(module, variables, (latent, None), x, train=train)


def test_the_discriminator_by_hand_but_for_its_spectral_norms(monkeypatch):
  forwards.unwrap(monkeypatch, Discriminator)
  image, label = forwards.normal(3, 8, 8, 2), jnp.array([2, 0, 1])
  module = Discriminator(4, num_classes=3)
  variables = forwards.made(module, image, label, train=True)
  params = variables['params']
  x = forwards.first_block(params['DownBlock_0'], image)
  x = forwards.plain_block(params['PlainBlock_0'], x)
  x = forwards.relu(x).sum((1, 2))
  logits = forwards.dense(params['Dense_0'], x)[:, 0]
  logits += (x * params['Dense_1']['kernel'][label]).sum(-1)
  forwards.assert_computes(
    module, variables, (image, label), logits, train=True
  )


def test_all_kernels_of_the_discriminator_have_a_spectral_norm():
  own = shapes(sngan(num_classes=10))['discriminator']
  kernels, sigmas = (
    [
      path
      for path, _ in jax.tree_util.tree_leaves_with_path(own[collection])
      if path[-1].key.endswith(entry)
    ]
    for collection, entry in (('params', 'kernel'), ('batch_stats', 'sigma'))
  )
  assert len(sigmas) == len(kernels) == 12
