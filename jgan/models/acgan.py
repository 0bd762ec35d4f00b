"""ACGAN: a discriminator that also names the class.

Odena et al., Conditional Image Synthesis with Auxiliary Classifier GANs, 2017
(https://arxiv.org/abs/1610.09585), with the networks of its table for CIFAR-10:
latent and one-hot label to 4x4x384 (as we read its linear layer of 384), three
5x5 transposed convolutions to 192, 96 and the picture; six 3x3 convolutions of
16 to 512 channels, every other of stride 2, with dropout of a half; Adam at
2e-4 (of the paper's three values) with b1 = .5, batches of 100.

The discriminator sees no labels. It learns to name the class of reals and of
fakes, and the generator to make pictures whose class it names, by one cross-
entropy that both players descend.

Differences: latents are normal; no biases before a normalisation, where they
have no effect; the table's activation noise is at its lowest value, none; the
generator's adversarial loss is the non-saturating one.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import initializers, latents, losses
from jgan.convolutions import conv2d
from jgan.gan import GAN
from jgan.layers import BatchNorm, ConvTranspose, Dropout, one_hot
from jgan.standard import standard_gan

_normal = initializers.normal(0.02)


class Generator(nn.Module):
  """Latents and labels to pictures in [-1, 1].

  Attributes:
    resolution: height and width, a power of two of at least 8.
    channels: of the picture.
    num_classes: of the labels.
    width: channels at 4x4; each doubling of the resolution halves them.
    dtype: of the computation; params and pictures are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  resolution: int
  channels: int
  num_classes: int
  width: int = 384
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self,
    latent: Float[Array, 'n d'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n h w c']:
    classes = one_hot(label, self.num_classes, self.dtype)
    x = jnp.concatenate([latent.astype(self.dtype), classes], -1)
    x = nn.Dense(16 * self.width, kernel_init=_normal, dtype=self.dtype)(x)
    x = nn.relu(x).reshape(-1, 4, 4, self.width)
    for i in range(1, self.resolution.bit_length() - 3):
      x = self._grow(max(self.width >> i, 1), use_bias=False)(x)
      norm = BatchNorm(0.9, dtype=self.dtype, axis_name=self.axis_name)
      x = nn.relu(norm(x, use_running_average=not train))
    x = self._grow(self.channels)(x)
    return jnp.tanh(x.astype(jnp.float32))

  def _grow(self, features, use_bias=True):
    return ConvTranspose(
      features,
      (5, 5),
      (2, 2),
      use_bias=use_bias,
      kernel_init=_normal,
      dtype=self.dtype,
    )


class Discriminator(nn.Module):
  """Pictures to 'logits' `[n]` and 'class_logits' `[n, num_classes]`.

  Attributes:
    num_classes: of the labels, which it does not see.
    width: channels of the first convolution; each of the others doubles them.
    dropout: share of activations that are dropped after each convolution.
    dtype: of the computation; params and logits are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  num_classes: int
  width: int = 16
  dropout: float = 0.5
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self,
    image: Float[Array, 'n h w c'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Mapping[str, Array]:
    x = image
    for i in range(6):
      stride = 1 if i % 2 else 2
      x = nn.Conv(
        self.width << i,
        (3, 3),
        (stride, stride),
        use_bias=i == 0,
        kernel_init=_normal,
        dtype=self.dtype,
        conv_general_dilated=conv2d,
      )(x)
      if i > 0:
        norm = BatchNorm(0.9, dtype=self.dtype, axis_name=self.axis_name)
        x = norm(x, use_running_average=not train)
      x = nn.leaky_relu(x, 0.2)
      x = Dropout(self.dropout)(x, deterministic=not train)
    said = nn.Dense(
      1 + self.num_classes, kernel_init=_normal, dtype=self.dtype
    )(x.reshape(x.shape[0], -1)).astype(jnp.float32)
    return {'logits': said[:, 0], 'class_logits': said[:, 1:]}


def acgan(
  resolution: int = 32,
  channels: int = 3,
  num_classes: int = 10,
  *,
  loss: losses.AdversarialLoss = losses.non_saturating,
  class_weight: float = 1.0,
  latent_dim: int = 100,
  generator_width: int = 384,
  discriminator_width: int = 16,
  dropout: float = 0.5,
  learning_rate: float = 2e-4,
  b1: float = 0.5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The auxiliary classifier GAN of Odena et al.

  The metric 'auxiliary' is the classification term: for the generator the
  cross-entropy of fakes, for the discriminator that of reals and fakes added.

  Args:
    resolution: height and width of the pictures, a power of two from 8 on;
      `batch['image']` is `[n, resolution, resolution, channels]` in [-1, 1].
    channels: of the pictures.
    num_classes: of `batch['label']`, integers from 0 on below it.
    loss: the adversarial part of the game.
    class_weight: of the classification term; the paper's 1.
    latent_dim: entries of a latent, standard normal.
    generator_width: channels at 4x4.
    discriminator_width: channels of the first of six convolutions.
    dropout: of the discriminator's activations.
    learning_rate: Adam's, of both players.
    b1: Adam's decay of the first moment.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` with labels.

  Raises:
    ValueError: if the resolution is no power of two of at least 8, or there
      are less than two classes; from `init`, if the batch has no labels.
  """
  if resolution < 8 or resolution.bit_count() > 1:
    raise ValueError(
      'acgan: the resolution must be a power of two of at least 8, got '
      f'{resolution}.'
    )
  if num_classes < 2:
    raise ValueError(f'acgan: needs two classes or more, got {num_classes}.')

  def auxiliary(real, fake, latent, batch):
    of_real, of_fake = (
      class_weight
      * optax.losses.softmax_cross_entropy_with_integer_labels(
        outputs['class_logits'], batch['label']
      )
      for outputs in (real, fake)
    )
    return of_fake, of_real + of_fake

  shared = {'dtype': dtype, 'axis_name': axis_name}
  return standard_gan(
    Generator(resolution, channels, num_classes, generator_width, **shared),
    Discriminator(num_classes, discriminator_width, dropout, **shared),
    loss=loss,
    generator_optimizer=optax.adam(learning_rate, b1=b1),
    discriminator_optimizer=optax.adam(learning_rate, b1=b1),
    latent=latents.normal(latent_dim),
    auxiliary=auxiliary,
    ema_decay=ema_decay,
    axis_name=axis_name,
  )
