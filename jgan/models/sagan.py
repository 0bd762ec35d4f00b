"""SAGAN: residual networks in which every pixel can look at all others.

Zhang et al., Self-Attention Generative Adversarial Networks, 2018
(https://arxiv.org/abs/1805.08318): the networks of `jgan.models.sngan` with a
self-attention in each, spectral norm in the generator too, blocks of the
discriminator that have their own width from their first convolution on, and one
move of the discriminator for one of the generator, at rates of 4e-4 and 1e-4
(after Heusel et al., 2017). At 128 pixels with 1000 classes they have 42.07M
and 39.46M parameters.

Differences: those of `jgan.models.sngan`, widths among them; the attention's
details are those of the authors' published code (see
`jgan.layers.SelfAttention`). At 32 pixels, which the paper has not, the
attention sees 16x16; beyond 32x32, the paper's best.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import latents, losses
from jgan.gan import GAN
from jgan.initializers import xavier_uniform
from jgan.layers import BatchNorm, SelfAttention
from jgan.models.resnet import DownBlock, Images, PlainBlock, UpBlock, conv
from jgan.models.sngan import (
  at_generator_pace,
  block_norm,
  check_attention,
  last_size,
  projection,
  spectral,
  widths,
)
from jgan.standard import standard_gan


class Generator(nn.Module):
  """Latents, and labels where there are classes, to pictures in [-1, 1].

  Attributes:
    resolution: height and width, a power of two of at least 8.
    channels: of the picture.
    attention: height and width of what the attention sees.
    width: channels of all blocks up to 32 pixels; beyond see `sngan.widths`.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation; params, spectral norms and pictures are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  resolution: int
  channels: int
  attention: int
  width: int = 256
  num_classes: int | None = None
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
    options = {'dtype': self.dtype, 'axis_name': self.axis_name}
    wrap = functools.partial(spectral, train=train)
    norm = block_norm(label, self.num_classes, train, **options)
    layers = functools.partial(conv, wrap=wrap, dtype=self.dtype)
    first, *rest = widths(self.resolution, self.width, 4)
    dense = nn.Dense(16 * first, kernel_init=xavier_uniform(), dtype=self.dtype)
    x = wrap(dense)(latent).reshape(-1, 4, 4, first)
    for features in rest:
      if x.shape[1] == self.attention:
        x = SelfAttention(xavier_uniform(), wrap, self.dtype)(x)
      x = UpBlock(features, norm, layers)(x)
    x = nn.relu(BatchNorm(0.9, **options)(x, not train))
    last = nn.Conv(
      self.channels, (3, 3), kernel_init=xavier_uniform(), dtype=self.dtype
    )
    return jnp.tanh(wrap(last)(x).astype(jnp.float32))


class Discriminator(nn.Module):
  """Pictures, and labels where there are classes, to logits.

  Attributes:
    attention: height and width of what the attention sees.
    width: channels of all blocks up to 32 pixels; beyond see `sngan.widths`.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation; params, spectral norms and logits are float32.
  """

  attention: int
  width: int = 128
  num_classes: int | None = None
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, image: Images, label: Int[Array, 'n'] | None, *, train: bool
  ) -> Float[Array, 'n']:
    wrap = functools.partial(spectral, train=train)
    shared = {'conv': functools.partial(conv, wrap=wrap, dtype=self.dtype)}
    first, *rest = reversed(widths(image.shape[1], self.width, 2))
    x = DownBlock(first, before=lambda x: x, **shared)(image)
    for i, features in enumerate(rest, 1):
      if image.shape[1] >> i == self.attention:
        x = SelfAttention(xavier_uniform(), wrap, self.dtype)(x)
      block = (
        DownBlock if x.shape[1] > last_size(image.shape[1]) else PlainBlock
      )
      x = block(features, **shared)(x)
    return projection(x, label, self.num_classes, wrap)


def sagan(
  resolution: int = 32,
  channels: int = 3,
  *,
  num_classes: int | None = None,
  attention: int | None = None,
  loss: losses.AdversarialLoss = losses.hinge,
  latent_dim: int = 128,
  generator_width: int = 256,
  discriminator_width: int = 128,
  learning_rate: optax.ScalarOrSchedule = 1e-4,
  discriminator_learning_rate: optax.ScalarOrSchedule = 4e-4,
  b1: float = 0.0,
  b2: float = 0.9,
  n_critic: int = 1,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The self-attention GAN of Zhang et al.

  Args:
    resolution: height and width of the pictures, a power of two from 8 on;
      `batch['image']` is `[n, resolution, resolution, channels]` in [-1, 1].
    channels: of the pictures.
    num_classes: condition on `batch['label']`, integers from 0 on below it, by
      conditional batch normalisation and projection; None plays without.
    attention: height and width of what the attentions see, a size that both
      networks have; None takes half of the resolution, up to 32.
    loss: the game.
    latent_dim: entries of a latent, standard normal.
    generator_width: channels of the generator's blocks up to 32 pixels; beyond
      as of `jgan.models.sngan`.
    discriminator_width: of the discriminator's.
    learning_rate: Adam's, of the generator; or a schedule, a function of the
      number of the generator's moves.
    discriminator_learning_rate: the discriminator's; or a schedule of the same
      number.
    b1: Adam's decay of the first moment.
    b2: Adam's decay of the second.
    n_critic: discriminator moves for one of the generator.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` with players 'discriminator' and 'generator'.

  Raises:
    ValueError: if the resolution is no power of two of at least 8, or a network
      has no such size as `attention`; from `init` and later, where labels are
      needed and the batch has none.
  """
  widths(resolution, generator_width, 4)  # refuses what cannot be built
  if attention is None:
    attention = min(resolution // 2, 32)
  check_attention('sagan', attention, resolution)
  shared = {'num_classes': num_classes, 'dtype': dtype}
  slower = at_generator_pace(discriminator_learning_rate, n_critic)
  return standard_gan(
    Generator(
      resolution,
      channels,
      attention,
      generator_width,
      axis_name=axis_name,
      **shared,
    ),
    Discriminator(attention, discriminator_width, **shared),
    loss=loss,
    generator_optimizer=optax.adam(learning_rate, b1, b2),
    discriminator_optimizer=optax.adam(slower, b1, b2),
    latent=latents.normal(latent_dim),
    n_critic=n_critic,
    ema_decay=ema_decay,
    axis_name=axis_name,
  )
