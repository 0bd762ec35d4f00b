"""SAGAN: sizes, where the attention sits, spectral norm in both, two rates."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import jgan
from jgan.layers import SelfAttention
from jgan.models.sagan import sagan
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
