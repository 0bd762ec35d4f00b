"""Small networks for CycleGAN, where its game or its data are tested."""

import contextlib
import importlib

import flax.linen as nn
import jax.numpy as jnp
import pytest


class Pointwise(nn.Module):
  """In a translator's place: compiled in no time."""

  channels: int

  @nn.compact
  def __call__(self, x):
    return jnp.tanh(nn.Conv(self.channels, (1, 1))(x))


class Patches(nn.Module):
  """In a discriminator's place: it judges patches of 2x2 pixels."""

  @nn.compact
  def __call__(self, image, *, train):
    return nn.Conv(1, (2, 2), (2, 2))(image)[..., 0]


@contextlib.contextmanager
def small():
  """Within it `jgan.models.cyclegan` builds these."""
  # The function of that name hides the module from an import statement.
  module = importlib.import_module('jgan.models.cyclegan')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      module, 'Translator', lambda channels, *_: Pointwise(channels)
    )
    patch.setattr(module, 'PatchDiscriminator', lambda *_, **__: Patches())
    yield
