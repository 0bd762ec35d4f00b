"""CGAN: perceptrons conditioned on labels.

Mirza and Osindero, Conditional Generative Adversarial Nets, 2014
(https://arxiv.org/abs/1411.1784), section 4.1, MNIST: noise, uniform in the
unit cube, and the one-hot label each pass a hidden layer of their own (200 and
1000 rectifiers) before a joint one (1200); picture and label each pass a maxout
layer of their own (240 units of 5 pieces, and 50 of 5) before a joint one (240
of 4). Dropout of a half in both networks, here of hidden units.

Differences: latents of mean 0 and variance 1, uniform in +-sqrt(3), since those
of the cube vary little about their mean; pictures in [-1, 1] through tanh, the
paper's sigmoid rescaled: tanh(x) = 2 sigmoid(2x) - 1; Adam in place of momentum
with scheduled learning rates, since it needs no schedule; weights from
N(0, 1 / inputs).

The paper's game comes to ignore the latent here: the samples of a class are one
picture, with and without dropout, and with latents of either kind. A penalty of
the discriminator's slopes at reals and fakes (`penalty`) keeps them apart, but
not with latents from the cube; experiments/mnist_cgan.py has the figures.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import latents, losses
from jgan.gan import GAN
from jgan.layers import Dropout, one_hot
from jgan.models.mlp import maxout
from jgan.standard import Penalty, standard_gan


class Generator(nn.Module):
  """Latents and labels to samples of any shape in [-1, 1].

  Attributes:
    shape: of one sample.
    num_classes: of the labels.
    latent_width: rectifiers that see the latent.
    label_width: rectifiers that see the label.
    width: rectifiers that see both.
    dropout: share of rectifiers that are dropped.
    dtype: of the computation; params and samples are float32.
  """

  shape: tuple[int, ...]
  num_classes: int
  latent_width: int = 200
  label_width: int = 1000
  width: int = 1200
  dropout: float = 0.5
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    latent: Float[Array, 'n d'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n ...']:
    def hidden(x, width):
      x = nn.relu(nn.Dense(width, dtype=self.dtype)(x))
      return Dropout(self.dropout)(x, deterministic=not train)

    classes = one_hot(label, self.num_classes, self.dtype)
    parts = [
      hidden(latent, self.latent_width),
      hidden(classes, self.label_width),
    ]
    x = hidden(jnp.concatenate(parts, -1), self.width)
    x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(x)
    return jnp.tanh(x.astype(jnp.float32)).reshape(-1, *self.shape)


class Discriminator(nn.Module):
  """Samples and labels to logits, through maxout units.

  Attributes:
    num_classes: of the labels.
    sample_width: maxout units, of 5 pieces, that see the sample.
    label_width: maxout units, of 5 pieces, that see the label.
    width: maxout units, of 4 pieces, that see both.
    dropout: share of units that are dropped.
    dtype: of the computation; params and logits are float32.
  """

  num_classes: int
  sample_width: int = 240
  label_width: int = 50
  width: int = 240
  dropout: float = 0.5
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    sample: Float[Array, 'n ...'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n']:
    def hidden(x, width, pieces):
      x = maxout(nn.Dense(width * pieces, dtype=self.dtype)(x), pieces)
      return Dropout(self.dropout)(x, deterministic=not train)

    classes = one_hot(label, self.num_classes, self.dtype)
    parts = [
      hidden(sample.reshape(sample.shape[0], -1), self.sample_width, 5),
      hidden(classes, self.label_width, 5),
    ]
    x = hidden(jnp.concatenate(parts, -1), self.width, 4)
    return nn.Dense(1, dtype=self.dtype)(x).astype(jnp.float32)[:, 0]


def cgan(
  shape: tuple[int, ...] = (28, 28, 1),
  num_classes: int = 10,
  *,
  loss: losses.AdversarialLoss = losses.non_saturating,
  latent_dim: int = 100,
  width: int = 1200,
  maxout_units: int = 240,
  dropout: float = 0.5,
  penalty: Penalty | None = None,
  learning_rate: float = 2e-4,
  b1: float = 0.5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
) -> GAN:
  """The conditional perceptron GAN of Mirza and Osindero.

  Args:
    shape: of one sample; `batch['image']` is `[n, *shape]`, in [-1, 1].
    num_classes: of `batch['label']`, integers from 0 on below it.
    loss: the game.
    latent_dim: entries of a latent, uniform in +-sqrt(3) (unit variance).
    width: the generator's joint rectifiers; a sixth as many see the latent and
      five sixths as many the label.
    maxout_units: the discriminator's joint maxout units; as many see the
      sample and 5 for each 24 the label.
    dropout: of the hidden units of both networks.
    penalty: of the discriminator, as of `jgan.standard_gan`; the paper has
      none.
    learning_rate: Adam's, of both players.
    b1: Adam's decay of the first moment.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.

  Returns:
    A `GAN` with labels.

  Raises:
    ValueError: if there are less than two classes; from `init`, if the batch
      has no labels.
  """
  if num_classes < 2:
    raise ValueError(f'cgan: needs two classes or more, got {num_classes}.')
  sixth = max(width // 6, 1)
  generator = Generator(
    shape, num_classes, sixth, max(width - sixth, 1), width, dropout, dtype
  )
  units, bound = maxout_units, math.sqrt(3)
  discriminator = Discriminator(
    num_classes, units, max(units * 5 // 24, 1), units, dropout, dtype
  )
  return standard_gan(
    generator,
    discriminator,
    loss=loss,
    generator_optimizer=optax.adam(learning_rate, b1=b1),
    discriminator_optimizer=optax.adam(learning_rate, b1=b1),
    latent=latents.uniform(latent_dim, -bound, bound),
    penalty=penalty,
    ema_decay=ema_decay,
    joint=penalty is None,  # a penalty at the reals shares their own call
  )
