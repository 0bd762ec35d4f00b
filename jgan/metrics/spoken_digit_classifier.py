"""A small classifier of spoken digits, for scores of recordings of them."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgan.layers import BatchNorm, Dropout
from jgan.metrics.spectrograms import log_mel

CLASSES = 10
RATE = 8000  # samples a second
LENGTH = 8192  # samples that it hears
_RANGE = 60.0  # dB below the loudest that it tells apart


class SpokenDigitClassifier(nn.Module):
  """Sound at 8 kHz, a digit at any loudness, to features and logits.

  It hears 64 frames of 40 mel bands, in dB below the loudest of them. Four
  convolutions with batch normalisation, of which three halve both, and a dense
  layer whose rectified outputs are the features.

  Attributes:
    width: channels of the first convolution; the third has four times as many.
    dimensions: of the features.
    dropout: while training, of what the dense layers see.
  """

  width: int = 16
  dimensions: int = 64
  dropout: float = 0.3

  @nn.compact
  def __call__(
    self, sound: Float[Array, 'n 8192'], *, train: bool = False
  ) -> tuple[Float[Array, 'n d'], Float[Array, 'n 10']]:
    def norm_relu(x):
      return nn.relu(BatchNorm(0.9)(x, use_running_average=not train))

    def conv(x, features, size, stride):
      layer = nn.Conv(features, (size, size), stride, use_bias=False)
      return norm_relu(layer(x))

    def drop(x):
      return Dropout(self.dropout)(x, deterministic=not train)

    x = conv(heard(sound)[..., None], self.width, 5, 2)
    x = conv(x, 2 * self.width, 3, 1)
    x = conv(x, 4 * self.width, 3, 2)
    x = conv(x, 2 * self.width, 3, 2)
    x = drop(x.reshape(x.shape[0], -1))
    features = norm_relu(nn.Dense(self.dimensions, use_bias=False)(x))
    return features, nn.Dense(CLASSES)(drop(features))


def heard(sound: Float[Array, 'n t']) -> Float[Array, 'n frames 40']:
  """The log-mel spectrogram, 1 at each clip's loudest and -1 at 60 dB below."""
  levels = log_mel(sound, RATE)
  loudest = levels.max((1, 2), keepdims=True)
  return 1 - 2 * jnp.minimum((loudest - levels) / _RANGE, 1)
