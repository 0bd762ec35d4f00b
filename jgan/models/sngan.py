"""SNGAN: residual networks, the discriminator's spectrally normalised.

Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018
(https://arxiv.org/abs/1802.05957), with the hinge loss; with labels after
Miyato and Koyama, cGANs with Projection Discriminator, 2018
(https://arxiv.org/abs/1802.05637): conditional batch normalisation in the
generator's blocks, and in the discriminator the inner product of its features
with an embedding of the label.

Differences: no biases in the blocks of the generator, where normalisations take
them out again; running statistics follow with momentum .9; the generator moves
on as many fakes as the discriminator, where the authors' code takes twice as
many; fakes take the labels of the batch, where it draws them evenly. Widths up
to 32 pixels are those of the Mimicry library (Lee and Town, 2020), in whose
protocol many papers are compared; beyond they follow a rule of our own, which
gives the paper's networks at 128.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import latents, losses
from jgan.gan import GAN
from jgan.initializers import xavier_uniform
from jgan.layers import (
  BatchNorm,
  ConditionalBatchNorm,
  SpectralNorm,
  one_hot,
)
from jgan.models.resnet import (
  DownBlock,
  Images,
  Layer,
  PlainBlock,
  UpBlock,
  conv,
)
from jgan.standard import standard_gan


class Generator(nn.Module):
  """Latents, and labels where there are classes, to pictures in [-1, 1].

  Attributes:
    resolution: height and width, a power of two of at least 8.
    channels: of the picture.
    width: channels of all blocks up to 32 pixels; beyond see `widths`.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation; params and pictures are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  resolution: int
  channels: int
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
    block = functools.partial(
      UpBlock,
      norm=block_norm(label, self.num_classes, train, **options),
      conv=functools.partial(conv, dtype=self.dtype),
    )
    first, *rest = widths(self.resolution, self.width, 4)
    dense = nn.Dense(16 * first, kernel_init=xavier_uniform(), dtype=self.dtype)
    x = dense(latent).reshape(-1, 4, 4, first)
    for features in rest:
      x = block(features)(x)
    x = nn.relu(BatchNorm(0.9, **options)(x, not train))
    last = nn.Conv(
      self.channels, (3, 3), kernel_init=xavier_uniform(), dtype=self.dtype
    )
    return jnp.tanh(last(x).astype(jnp.float32))


class Discriminator(nn.Module):
  """Pictures, and labels where there are classes, to logits.

  Attributes:
    width: channels of all blocks up to 32 pixels; beyond see `widths`.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation; params, spectral norms and logits are float32.
  """

  width: int = 128
  num_classes: int | None = None
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    image: Float[Array, 'n h w c'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n']:
    wrap = functools.partial(spectral, train=train)
    shared = {'conv': functools.partial(conv, wrap=wrap, dtype=self.dtype)}
    first, *rest = reversed(widths(image.shape[1], self.width, 2))
    x = DownBlock(first, before=lambda x: x, **shared)(image)
    for features in rest:
      block = (
        DownBlock if x.shape[1] > last_size(image.shape[1]) else PlainBlock
      )
      x = block(features, hidden=x.shape[-1], **shared)(x)
    return projection(x, label, self.num_classes, wrap)


def sngan(
  resolution: int = 32,
  channels: int = 3,
  *,
  num_classes: int | None = None,
  loss: losses.AdversarialLoss = losses.hinge,
  latent_dim: int = 128,
  generator_width: int = 256,
  discriminator_width: int = 128,
  learning_rate: optax.ScalarOrSchedule = 2e-4,
  b1: float = 0.0,
  b2: float = 0.9,
  n_critic: int = 5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
  **options: Any,
) -> GAN:
  """The spectrally normalised GAN of Miyato et al., with residual networks.

  Args:
    resolution: height and width of the pictures, a power of two from 8 on;
      `batch['image']` is `[n, resolution, resolution, channels]` in [-1, 1].
    channels: of the pictures.
    num_classes: condition on `batch['label']`, integers from 0 on below it, by
      conditional batch normalisation and projection; None plays without.
    loss: the game.
    latent_dim: entries of a latent, standard normal.
    generator_width: channels of the generator's blocks up to 32 pixels; from 64
      on a quarter of it in the last block, doubled with each halving of the
      picture, up to 4 times as many.
    discriminator_width: of the discriminator's; from 64 on half of it in the
      first block, doubled likewise, up to 8 times as many.
    learning_rate: Adam's, of both players; or a schedule, a function of the
      number of the generator's moves, such as the papers'
      `optax.linear_schedule(2e-4, 0, 100_000)`.
    b1: Adam's decay of the first moment.
    b2: Adam's decay of the second.
    n_critic: discriminator moves for one of the generator.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.
    **options: other arguments of `standard_gan`: `augment`, `penalty`, `pack`.

  Returns:
    A `GAN` with players 'discriminator' and 'generator'.

  Raises:
    ValueError: if the resolution is no power of two of at least 8; from
      `init` and later, where labels are needed and the batch has none.
  """
  widths(resolution, generator_width, 4)  # refuses what cannot be built
  shared = {'num_classes': num_classes, 'dtype': dtype}
  slower = at_generator_pace(learning_rate, n_critic)
  return standard_gan(
    Generator(
      resolution, channels, generator_width, axis_name=axis_name, **shared
    ),
    Discriminator(discriminator_width, **shared),
    loss=loss,
    generator_optimizer=optax.adam(learning_rate, b1, b2),
    discriminator_optimizer=optax.adam(slower, b1, b2),
    latent=latents.normal(latent_dim),
    n_critic=n_critic,
    ema_decay=ema_decay,
    axis_name=axis_name,
    **options,
  )


def widths(resolution: int, width: int, narrowing: int) -> tuple[int, ...]:
  """Channels by size of the picture: at 4x4, 8x8, ... up to the resolution.

  Up to 32 pixels all have the width. Beyond, as in the paper's networks for
  128, the largest has `width / narrowing`, rounded up, and each smaller one
  twice as many, up to 16 times. A discriminator has a block for each, in
  reverse.

  Raises:
    ValueError: if the resolution is no power of two of at least 8.
  """
  doublings = resolution.bit_length() - 3
  if resolution != 4 << max(doublings, 1):
    raise ValueError(
      'residual networks: the resolution must be a power of two of at least '
      f'8, got {resolution}.'
    )
  if resolution <= 32:
    return (width,) * (doublings + 1)
  last = -(-width // narrowing)
  return tuple(last * min(2**i, 16) for i in range(doublings, -1, -1))


def last_size(resolution: int) -> int:
  """The size to which a discriminator halves: 8x8 of 32 pixels, else 4x4."""
  return 8 if resolution == 32 else 4


def check_attention(who: str, attention: int, resolution: int) -> None:
  """Raises ValueError where a network never has pictures of this size."""
  sizes, size = [], resolution // 2
  while size >= last_size(resolution):
    sizes.append(size)
    size //= 2
  if attention not in sizes:
    raise ValueError(
      f'{who}: at {resolution} pixels the attention can see pictures of '
      f'{" or ".join(map(str, sizes))}, got {attention}.'
    )


def spectral(layer: nn.Module, *, train: bool) -> Layer:
  """The layer with spectral norm, whose vectors move while training."""
  return functools.partial(SpectralNorm(layer), update_stats=train)


def block_norm(
  label: Int[Array, 'n'] | None,
  num_classes: int | None,
  train: bool,
  **options: Any,
) -> Layer:
  """Batch normalisation for blocks; conditional where there are classes."""

  def plain(x):
    return BatchNorm(0.9, **options)(x, not train)

  def conditional(x):
    norm = ConditionalBatchNorm(momentum=0.9, **options)
    return norm(x, one_hot(label, num_classes), not train)

  return plain if num_classes is None else conditional


def projection(
  x: Images,
  label: Int[Array, 'n'] | None,
  num_classes: int | None,
  wrap: Callable[[nn.Module], Layer],
) -> Float[Array, 'n']:
  """The end of a discriminator: ReLU, sum over pixels, and a linear layer.

  Where there are classes, plus the inner product with the class's embedding
  (Miyato and Koyama, 2018, equation 3). All in float32: the sum is long.
  """
  x = nn.relu(x).astype(jnp.float32).sum((1, 2))
  logits = wrap(nn.Dense(1, kernel_init=xavier_uniform()))(x)[:, 0]
  if num_classes is None:
    return logits
  embed = nn.Dense(x.shape[-1], use_bias=False, kernel_init=xavier_uniform())
  return logits + (x * wrap(embed)(one_hot(label, num_classes))).sum(-1)


def at_generator_pace(
  rate: optax.ScalarOrSchedule, n_critic: int
) -> optax.ScalarOrSchedule:
  """The discriminator's rate where a schedule counts the generator's moves.

  Optax counts the moves of the optimizer's own player: `n_critic` of the
  discriminator to one of the generator.
  """
  if not callable(rate):
    return rate
  return lambda count: rate(count // n_critic)
