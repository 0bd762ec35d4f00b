"""SAGAN: sizes, where the attention sits, spectral norm in both, two rates."""

from functools import partial

import flax.linen as nn
import forwards
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan.layers import SelfAttention
from jgan.models.sagan import Discriminator, Generator, sagan
from jgan.models.sngan import sngan

key = jax.random.key


def batch(resolution):
  image = jnp.zeros((2, resolution, resolution, 3))
  return {'image': image, 'label': jnp.zeros(2, int)}


def variables(gan, resolution=32):
  """Each player's, by their shapes alone."""
  form = jax.eval_shape(partial(jgan.init, gan), key(0), batch(resolution))
  return form.variables


def counts(gan, resolution=32):
  return {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in variables(gan, resolution).items()
  }


@pytest.mark.parametrize('num_classes', [None, 10])
def test_parameter_counts_are_sngans_and_the_attentions(num_classes):
  def attention(channels):  # query, key, value, output, gamma
    return 2 * channels**2 // 8 + 2 * channels**2 // 2 + 1

  plain = counts(sngan(num_classes=num_classes))
  assert counts(sagan(num_classes=num_classes)) == {
    'generator': plain['generator'] + attention(256),
    'discriminator': plain['discriminator'] + attention(128),
  }


def test_parameter_count_for_imagenet():
  sizes = counts(sagan(128, num_classes=1000), 128)
  # SAGAN's row in table 1 of Brock et al., 2019.
  assert round(sum(sizes.values()) / 1e6, 1) == 81.5


def test_all_kernels_of_both_players_have_a_spectral_norm():
  for name, own in variables(sagan()).items():
    kernels, sigmas = (
      [
        path
        for path, _ in jax.tree_util.tree_leaves_with_path(own[collection])
        if path[-1].key.endswith(entry)
      ]
      for collection, entry in (('params', 'kernel'), ('batch_stats', 'sigma'))
    )
    assert len(sigmas) == len(kernels) >= 14, name


@pytest.mark.parametrize(
  ('resolution', 'attention', 'size'),
  [(8, None, 4), (32, None, 16), (32, 8, 8), (64, None, 32), (64, 4, 4)],
)
def test_the_attention_of_each_player_sees_its_size(
  resolution, attention, size
):
  seen = []

  def record(call, args, kwargs, context):
    if isinstance(context.module, SelfAttention):
      seen.append(args[0].shape[1:3])
    return call(*args, **kwargs)

  gan = sagan(
    resolution, attention=attention, generator_width=8, discriminator_width=8
  )
  with nn.intercept_methods(record):
    jax.eval_shape(gan.init, key(0), batch(resolution))
  assert seen == [(size, size)] * 2  # once in the generator, once in the other


@pytest.mark.parametrize(
  ('resolution', 'attention', 'sizes'),
  [(32, 4, '16 or 8'), (32, 32, '16 or 8'), (16, 5, '8 or 4')],
)
def test_a_size_that_a_network_lacks_is_refused(resolution, attention, sizes):
  message = f'at {resolution} pixels .* of {sizes}, got {attention}'
  with pytest.raises(ValueError, match=message):
    sagan(resolution, attention=attention)


def test_the_discriminator_learns_at_four_times_the_rate():
  sizes = {}
  for player in sagan().players:
    state = player.optimizer.init(jnp.ones(()))
    update, _ = player.optimizer.update(jnp.ones(()), state)
    sizes[player.name] = -float(update)
  assert sizes == {
    'generator': pytest.approx(1e-4),
    'discriminator': pytest.approx(4e-4),
  }


@pytest.fixture
def unwrapped(monkeypatch):
  """Without spectral norms, which are counted above."""
  forwards.unwrap(monkeypatch, Generator)


def attended(params, x):
  own = {'params': params['SelfAttention_0']}
  return np.asarray(SelfAttention().apply(own, jnp.asarray(x, jnp.float32)))


def test_the_generator_by_hand_but_for_its_spectral_norms(unwrapped):
  latent, label = forwards.normal(3, 5), jnp.array([2, 0, 1])
  module = Generator(8, 2, 4, width=8, num_classes=3)
  variables = forwards.made(module, latent, label, train=True)
  params = variables['params']
  block = params['UpBlock_0']

  def conditional(number, x):
    own = block[f'ConditionalBatchNorm_{number}']
    scale, bias = (
      own[entry]['kernel'][label][:, None, None] for entry in ('scale', 'bias')
    )
    return forwards.batch_norm({}, x) * (1 + scale) + bias

  x = forwards.dense(params['Dense_0'], latent).reshape(3, 4, 4, 8)
  x = forwards.up_block(block, attended(params, x), conditional)
  x = forwards.relu(forwards.batch_norm(params['BatchNorm_0'], x))
  x = np.tanh(forwards.conv(params['Conv_0'], x))
  forwards.assert_computes(module, variables, (latent, label), x, train=True)


def test_the_discriminator_by_hand_but_for_its_spectral_norms(unwrapped):
  image, label = forwards.normal(3, 8, 8, 2), jnp.array([2, 0, 1])
  module = Discriminator(4, width=8, num_classes=3)
  variables = forwards.made(module, image, label, train=True)
  params = variables['params']
  x = forwards.first_block(params['DownBlock_0'], image)
  x = forwards.plain_block(params['PlainBlock_0'], attended(params, x))
  x = forwards.relu(x).sum((1, 2))
  logits = forwards.dense(params['Dense_0'], x)[:, 0]
  logits += (x * params['Dense_1']['kernel'][label]).sum(-1)
  forwards.assert_computes(
    module, variables, (image, label), logits, train=True
  )
