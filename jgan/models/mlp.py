"""The original GAN: two perceptrons on flat samples.

Goodfellow et al., Generative Adversarial Nets, 2014
(https://arxiv.org/abs/1406.2661), with the sizes of the MNIST experiment in the
authors' published code: latents uniform in +-sqrt(3), a generator of two hidden
layers of rectifiers, and a discriminator of two hidden layers of maxout units
with dropout.

Differences: Adam in place of the authors' momentum with decaying learning
rates, since it needs no schedule; outputs in [-1, 1] through tanh in place of
[0, 1] through a sigmoid, the range of every picture here; weights drawn from
N(0, 1 / inputs) in place of uniform in +-.05 in the generator and +-.005 in the
discriminator, which Adam's first steps, being of one size, would leave behind
at once; all biases start at 0, where the authors' last ones of the generator
start at the logits of the pixels' means.
"""

import functools
import math

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jgan import latents, losses
from jgan.gan import GAN
from jgan.standard import standard_gan


class Generator(nn.Module):
  """Latents to samples of any shape in [-1, 1], through rectifiers.

  Attributes:
    shape: of one sample.
    width: units of each hidden layer.
    depth: hidden layers.
    dtype: of the computation; params and samples are float32.
  """

  shape: tuple[int, ...]
  width: int = 1200
  depth: int = 2
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, latent: Float[Array, 'n d'], label: Array | None, *, train: bool
  ) -> Float[Array, 'n ...']:
    x = latent
    for _ in range(self.depth):
      x = nn.relu(nn.Dense(self.width, dtype=self.dtype)(x))
    x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(x)
    return jnp.tanh(x.astype(jnp.float32)).reshape(-1, *self.shape)


class Discriminator(nn.Module):
  """Samples to logits, through maxout units with dropout.

  A maxout unit is the largest of several linear pieces (Goodfellow et al.,
  Maxout Networks, 2013).

  Attributes:
    width: maxout units of each hidden layer.
    pieces: of each unit.
    depth: hidden layers.
    dropout: share of hidden units that are dropped; a fifth of the inputs, for
      the authors' half.
    dtype: of the computation; params and logits are float32.
  """

  width: int = 240
  pieces: int = 5
  depth: int = 2
  dropout: float = 0.5
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, sample: Float[Array, 'n ...'], label: Array | None, *, train: bool
  ) -> Float[Array, 'n']:
    x = sample.reshape(sample.shape[0], -1)
    x = nn.Dropout(0.4 * self.dropout, deterministic=not train)(x)
    for _ in range(self.depth):
      x = nn.Dense(self.width * self.pieces, dtype=self.dtype)(x)
      x = maxout(x, self.pieces)
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return nn.Dense(1, dtype=self.dtype)(x).astype(jnp.float32)[:, 0]


def maxout(x: Float[Array, 'n m'], pieces: int) -> Float[Array, 'n k']:
  """The largest of each unit's linear pieces.

  Entry i holds a piece of unit `i % k`: so they are compared as whole arrays,
  which is quicker than a maximum along the last axis.
  """
  return functools.reduce(jnp.maximum, jnp.split(x, pieces, axis=1))


def mlp(
  shape: tuple[int, ...] = (28, 28, 1),
  *,
  loss: losses.AdversarialLoss = losses.non_saturating,
  latent_dim: int = 100,
  width: int = 1200,
  maxout: int = 240,
  dropout: float = 0.5,
  learning_rate: float = 2e-4,
  b1: float = 0.5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
) -> GAN:
  """The perceptron GAN of Goodfellow et al.

  Args:
    shape: of one sample; `batch['image']` is `[n, *shape]`, in [-1, 1].
    loss: `losses.minimax` for equation 1 of the paper, or
      `losses.non_saturating` for the generator that its section 3 proposes.
    latent_dim: entries of a latent, uniform in +-sqrt(3) (unit variance).
    width: units of the generator's two hidden layers.
    maxout: maxout units of the discriminator's two.
    dropout: of its hidden units.
    learning_rate: Adam's, of both players.
    b1: Adam's decay of the first moment.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.

  Returns:
    A `GAN` without labels.
  """

  def adam():
    return optax.adam(learning_rate, b1=b1)

  bound = math.sqrt(3)
  return standard_gan(
    Generator(shape, width, dtype=dtype),
    Discriminator(maxout, dropout=dropout, dtype=dtype),
    loss=loss,
    generator_optimizer=adam(),
    discriminator_optimizer=adam(),
    latent=latents.uniform(latent_dim, -bound, bound),
    ema_decay=ema_decay,
    joint=True,
  )
