"""EfficientNet-lite0, a small classifier of ImageNet's 1000 classes.

Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks, 2019 (https://arxiv.org/abs/1905.11946); the lite variants have no
squeeze and excitation and clip at 6 in place of swish. Differences: batch
normalisation is folded into the convolutions, and there is no dropout, so it is
for inference.
"""

import itertools
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jgan.metrics import folding

# Less than float32, the default on GPU and TPU, is other features.
_PRECISION = lax.Precision.HIGHEST

# Kernel, stride of the first, expansion, channels and number of the blocks.
_STAGES = (
  (3, 1, 1, 16, 1),
  (3, 2, 6, 24, 2),
  (5, 2, 6, 40, 2),
  (3, 2, 6, 80, 3),
  (5, 1, 6, 112, 3),
  (5, 2, 6, 192, 4),
  (3, 1, 6, 320, 1),
)


class EfficientNetLite0(nn.Module):
  """Pictures of 224x224, `(pixels - 127) / 128`, to features and logits.

  The variables of `efficientnet_variables`: 49 convolutions with biases, named
  'conv0' to 'conv48' in order, and 'classes'.
  """

  @nn.compact
  def __call__(
    self, images: Float[Array, 'n h w 3']
  ) -> tuple[Float[Array, 'n 1280'], Float[Array, 'n 1000']]:
    names = (f'conv{i}' for i in itertools.count())

    def conv(x, features, size=1, stride=1):
      return nn.Conv(
        features,
        (size, size),
        stride,
        precision=_PRECISION,
        name=next(names),
      )(x)

    def block(x, size, stride, expansion, features):
      y = x
      if expansion > 1:
        y = nn.relu6(conv(y, expansion * x.shape[-1]))
      y = nn.relu6(DepthwiseConv(size, stride, name=next(names))(y))
      y = conv(y, features)
      return x + y if x.shape == y.shape else y

    x = nn.relu6(conv(images, 32, size=3, stride=2))
    for size, first, expansion, features, count in _STAGES:
      for stride in (first, *[1] * (count - 1)):
        x = block(x, size, stride, expansion, features)
    pooled = nn.relu6(conv(x, 1280)).mean((1, 2))
    classes = nn.Dense(1000, precision=_PRECISION, name='classes')
    return pooled, classes(pooled)


class DepthwiseConv(nn.Module):
  """A convolution of each channel by itself, padding 'SAME'.

  The variables and numbers of `nn.Conv` with as many groups as channels, as a
  sum over shifted pictures: on CPUs ten times faster than XLA's convolution.
  """

  size: int
  stride: int = 1

  @nn.compact
  def __call__(self, x: Float[Array, 'n h w c']) -> Float[Array, 'n i j c']:
    size, channels = self.size, x.shape[-1]
    window, strides = (size, size), (self.stride, self.stride)
    kernel = self.param(
      'kernel', nn.initializers.lecun_normal(), (*window, 1, channels)
    )
    bias = self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, 'SAME')
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    last = x.shape[1] - size, x.shape[2] - size
    terms = [
      kernel[i : i + 1, j : j + 1]
      * x[
        :, i : last[0] + i + 1 : self.stride, j : last[1] + j + 1 : self.stride
      ]
      for i, j in np.ndindex(window)
    ]
    return sum(terms, bias.reshape(1, 1, 1, channels))


def efficientnet_variables(
  arrays: Sequence[np.ndarray],
) -> Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]:
  """The variables of `EfficientNetLite0` from the trained network's arrays.

  Args:
    arrays: of each of the 49 convolutions, in order, its weight [out, in,
      height, width] and its normalisation's scale, bias, mean and variance
      [out]; then the classes' weight [1000, 1280] and bias [1000].

  Returns:
    Linen variables, float32.

  Raises:
    ValueError: an array is missing, too many, or of another shape.
  """
  who = 'efficientnet_variables'
  params = folding.convolutions(
    EfficientNetLite0(), (224, 224, 3), folding.groups(who, arrays[:-2], 5)
  )
  weight = folding.shaped(who, arrays[-2], (1000, 1280)).T
  bias = folding.shaped(who, arrays[-1], (1000,))
  classes = {'kernel': weight, 'bias': bias}
  params['classes'] = {k: v.astype(np.float32) for k, v in classes.items()}
  return {'params': params}
