"""The Inception network of 2015-12-05 in whose features FID is measured.

Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016
(https://arxiv.org/abs/1512.00567), as the TensorFlow graph of that date has it:
average pools count no padding, the last block pools by maximum, and batch
normalisation has no scale. Heusel et al., GANs Trained by a Two Time-Scale
Update Rule Converge to a Local Nash Equilibrium, 2017
(https://arxiv.org/abs/1706.08500) measure the Frechet distance in its 2048
pooled features. Difference: batch normalisation is folded into the
convolutions.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jgan.metrics import folding

Conv = Callable[..., Array]


class InceptionV3(nn.Module):
  """Pictures of 299x299 in [-1, 1), `(pixels - 128) / 128`, to 2048 features.

  The variables of `inception_variables`: 94 convolutions with biases, named
  'conv0' to 'conv93' in the order in which the graph has them.
  """

  @nn.compact
  def __call__(self, images: Float[Array, 'n h w 3']) -> Float[Array, 'n 2048']:
    names = (f'conv{i}' for i in itertools.count())

    def conv(x, features, size=(1, 1), strides=1, padding='SAME'):
      # Less than float32, the default on GPU and TPU, is other features.
      layer = nn.Conv(
        features,
        size,
        strides,
        padding,
        precision=lax.Precision.HIGHEST,
        name=next(names),
      )
      return nn.relu(layer(x))

    x = conv(images, 32, (3, 3), 2, 'VALID')
    x = conv(x, 32, (3, 3), padding='VALID')
    x = _halved(conv(x, 64, (3, 3)))
    x = conv(x, 80)
    x = _halved(conv(x, 192, (3, 3), padding='VALID'))
    for pooled in (32, 64, 64):
      x = _block35(conv, x, pooled)
    x = _reduction35(conv, x)
    for width in (128, 160, 160, 192):
      x = _block17(conv, x, width)
    x = _reduction17(conv, x)
    x = _block8(conv, x, _averaged)
    x = _block8(conv, x, _maximum)
    return x.mean((1, 2))


def inception_variables(
  arrays: Sequence[np.ndarray],
) -> Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]:
  """The variables of `InceptionV3` from the arrays of the trained network.

  Args:
    arrays: of each of the 94 convolutions, in order, its weight [out, in,
      height, width] and its normalisation's bias, mean and variance [out];
      float32, in these shapes or flat.

  Returns:
    Linen variables, float32.

  Raises:
    ValueError: an array is missing, too many, or of another shape.
  """
  scaled = [
    (weight, np.ones_like(bias), bias, mean, variance)
    for weight, bias, mean, variance in folding.groups(
      'inception_variables', arrays, 4
    )
  ]
  return {'params': folding.convolutions(InceptionV3(), (299, 299, 3), scaled)}


def _block35(conv: Conv, x: Array, pooled: int) -> Array:
  """Four branches at 35x35; `pooled` channels from the one that pools."""
  one = conv(x, 64)
  five = conv(conv(x, 48), 64, (5, 5))
  three = conv(conv(conv(x, 64), 96, (3, 3)), 96, (3, 3))
  return _joined(one, five, three, conv(_averaged(x), pooled))


def _reduction35(conv: Conv, x: Array) -> Array:
  """From 35x35 to 17x17."""
  one = conv(x, 384, (3, 3), 2, 'VALID')
  two = conv(conv(x, 64), 96, (3, 3))
  return _joined(one, conv(two, 96, (3, 3), 2, 'VALID'), _halved(x))


def _block17(conv: Conv, x: Array, width: int) -> Array:
  """Four branches at 17x17, two of them through `width` channels."""
  row, column = (1, 7), (7, 1)
  one = conv(x, 192)
  two = conv(conv(conv(x, width), width, row), 192, column)
  three = conv(x, width)
  for size in (column, row, column):
    three = conv(three, width, size)
  three = conv(three, 192, row)
  return _joined(one, two, three, conv(_averaged(x), 192))


def _reduction17(conv: Conv, x: Array) -> Array:
  """From 17x17 to 8x8."""
  one = conv(conv(x, 192), 320, (3, 3), 2, 'VALID')
  two = conv(conv(conv(x, 192), 192, (1, 7)), 192, (7, 1))
  return _joined(one, conv(two, 192, (3, 3), 2, 'VALID'), _halved(x))


def _block8(conv: Conv, x: Array, pool: Callable[[Array], Array]) -> Array:
  """Four branches at 8x8, two of which fork."""
  row, column = (1, 3), (3, 1)
  one = conv(x, 320)
  two = conv(x, 384)
  two = _joined(conv(two, 384, row), conv(two, 384, column))
  three = conv(conv(x, 448), 384, (3, 3))
  three = _joined(conv(three, 384, row), conv(three, 384, column))
  return _joined(one, two, three, conv(pool(x), 192))


def _joined(*branches: Array) -> Array:
  return jnp.concatenate(branches, -1)


def _halved(x: Array) -> Array:
  return nn.max_pool(x, (3, 3), (2, 2))


def _averaged(x: Array) -> Array:
  return nn.avg_pool(x, (3, 3), padding='SAME', count_include_pad=False)


def _maximum(x: Array) -> Array:
  return nn.max_pool(x, (3, 3), padding='SAME')
