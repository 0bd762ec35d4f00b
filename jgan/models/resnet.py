"""Residual blocks of the generators and discriminators of the ResNet family.

Those of Miyato et al., 2018 (https://arxiv.org/abs/1802.05957): a block adds
two 3x3 convolutions to a shortcut, and doubles or halves a picture on the way.
What differs between papers is passed in as functions, the normalisation and the
convolution.

A 1x1 convolution runs at the smaller of its two sizes: it commutes with the
resampling.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jgan.convolutions import pointwise
from jgan.initializers import xavier_uniform

Images = Float[Array, 'n h w c']
Layer = Callable[[Array], Array]
"""A function of an array, which may make params in the module that calls it."""


def conv(
  features: int,
  size: int,
  *,
  wrap: Callable[[nn.Module], Layer] = lambda layer: layer,
  dtype: DTypeLike = jnp.float32,
  **options: Any,
) -> Layer:
  """A square convolution as the blocks take it by default.

  Kernels are uniform after Xavier, with a gain of sqrt(2) for those of 3x3,
  which a ReLU precedes, and of 1 for shortcuts.

  Args:
    features: channels of the result.
    size: of the kernel, 1 or 3.
    wrap: what is done to the layer, such as spectral norm.
    dtype: of the computation.
    **options: of `nn.Conv`.
  """
  gain = 1.0 if size == 1 else math.sqrt(2)
  if size == 1:
    options['conv_general_dilated'] = pointwise
  return wrap(
    nn.Conv(
      features,
      (size, size),
      kernel_init=xavier_uniform(gain),
      dtype=dtype,
      **options,
    )
  )


class UpBlock(nn.Module):
  """Doubles a picture: norm, ReLU, up, conv, norm, ReLU, conv; plus shortcut.

  The shortcut is a 1x1 convolution of the nearest neighbours. No convolution
  has a bias: the normalisations that follow would take it out again.

  Attributes:
    features: channels of the result.
    norm: a normalisation, with params of its own in each call.
    conv: `conv(features, size, **options of nn.Conv) -> layer`.
  """

  features: int
  norm: Layer
  conv: Callable[..., Layer] = conv

  @nn.compact
  def __call__(self, x: Images) -> Float[Array, 'n 2*h 2*w d']:
    conv = functools.partial(self.conv, self.features, use_bias=False)
    y = conv(3)(upsample(nn.relu(self.norm(x))))
    y = conv(3)(nn.relu(self.norm(y)))
    return y + upsample(conv(1)(x))


class DownBlock(nn.Module):
  """Halves a picture: ReLU, conv, ReLU, conv, average pool; plus shortcut.

  The shortcut is a 1x1 convolution and the average pool.

  Attributes:
    features: channels of the result.
    hidden: channels between the convolutions; None for `features`.
    before: what is done to their input: not a ReLU in the first block of a
      discriminator, which would cut the picture.
    conv: as of `UpBlock`.
  """

  features: int
  hidden: int | None = None
  before: Layer = nn.relu
  conv: Callable[..., Layer] = conv

  @nn.compact
  def __call__(self, x: Images) -> Float[Array, 'n h//2 w//2 d']:
    y = self.conv(self.hidden or self.features, 3)(self.before(x))
    y = self.conv(self.features, 3)(nn.relu(y))
    return halve(y) + self.conv(self.features, 1)(halve(x))


class PlainBlock(nn.Module):
  """Keeps the size: ReLU, conv, ReLU, conv; plus shortcut.

  The shortcut is the input, by a 1x1 convolution where the channels change.

  Attributes:
    features, hidden, conv: as of `DownBlock`.
  """

  features: int
  hidden: int | None = None
  conv: Callable[..., Layer] = conv

  @nn.compact
  def __call__(self, x: Images) -> Float[Array, 'n h w d']:
    y = self.conv(self.hidden or self.features, 3)(nn.relu(x))
    y = self.conv(self.features, 3)(nn.relu(y))
    if x.shape[-1] != self.features:
      x = self.conv(self.features, 1)(x)
    return y + x


def upsample(x: Images) -> Float[Array, 'n 2*h 2*w c']:
  """Every pixel as two by two."""
  n, h, w, c = x.shape
  x = jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c))
  return x.reshape(n, 2 * h, 2 * w, c)


def halve(x: Images) -> Float[Array, 'n h//2 w//2 c']:
  """Means of two by two pixels; a last row or column that is odd is left out.

  A sum of slices, which XLA's CPU backend is quicker at than at windows.
  """
  _, h, w, _ = x.shape
  corners = [(i, j) for i in (0, 1) for j in (0, 1)]
  return sum(x[:, i : h - h % 2 : 2, j : w - w % 2 : 2] for i, j in corners) / 4
