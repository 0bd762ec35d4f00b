"""A small classifier of handwritten digits, for scores of digit pictures."""

import flax.linen as nn
from jaxtyping import Array, Float

from jgan.layers import BatchNorm

CLASSES = 10


class DigitClassifier(nn.Module):
  """Grey pictures of 32x32 in [-1, 1], black behind, to features and logits.

  Four convolutions with batch normalisation, of which three halve the picture,
  and a dense layer whose rectified outputs are the features.

  Attributes:
    width: channels of the first convolution; the last has four times as many.
    dimensions: of the features.
  """

  width: int = 16
  dimensions: int = 64

  @nn.compact
  def __call__(
    self, images: Float[Array, 'n 32 32 1'], *, train: bool = False
  ) -> tuple[Float[Array, 'n d'], Float[Array, 'n 10']]:
    def norm_relu(x):
      return nn.relu(BatchNorm(0.9)(x, use_running_average=not train))

    def conv(x, features, size, stride):
      layer = nn.Conv(features, (size, size), stride, use_bias=False)
      return norm_relu(layer(x))

    x = conv(images, self.width, 5, 2)
    x = conv(x, 2 * self.width, 3, 1)
    x = conv(x, 4 * self.width, 3, 2)
    x = conv(x, 2 * self.width, 3, 2)
    x = x.reshape(x.shape[0], -1)
    features = norm_relu(nn.Dense(self.dimensions, use_bias=False)(x))
    return features, nn.Dense(CLASSES)(features)
