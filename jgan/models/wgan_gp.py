"""WGAN-GP: a critic held to slope 1 by a penalty, with residual networks.

Gulrajani et al., Improved Training of Wasserstein GANs, 2017
(https://arxiv.org/abs/1704.00028), section 5.4: the Wasserstein loss with a
penalty of 10 on the slope's distance from 1 between reals and fakes, 128
channels in all blocks, the mean of the critic's last features, five moves of
the critic for one of the generator, Adam at 2e-4 with b1 = 0 and b2 = .9.

Differences: no layer normalisation in the critic, which the paper recommends in
place of batch normalisation; no bias of its values, which the loss cancels, nor
in the blocks of the generator, where normalisations take them out; running
statistics follow with momentum .9; the generator moves on as many fakes as the
critic, where the authors' code takes twice as many. Blocks and widths are those
of `jgan.models.sngan`, also beyond 32 pixels.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jgan import latents, losses, penalties
from jgan.gan import GAN
from jgan.initializers import xavier_uniform
from jgan.models.resnet import DownBlock, Images, PlainBlock, conv
from jgan.models.sngan import (
  Generator,
  at_generator_pace,
  last_size,
  widths,
)
from jgan.standard import standard_gan


class Critic(nn.Module):
  """Pictures to values, each picture by itself, as the penalty needs.

  Attributes:
    width: channels of all blocks up to 32 pixels; beyond see `sngan.widths`.
    dtype: of the computation; params and values are float32.
  """

  width: int = 128
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, image: Images, label: Array | None, *, train: bool
  ) -> Float[Array, 'n']:
    shared = {'conv': functools.partial(conv, dtype=self.dtype)}
    first, *rest = reversed(widths(image.shape[1], self.width, 2))
    x = DownBlock(first, before=lambda x: x, **shared)(image)
    for features in rest:
      block = (
        DownBlock if x.shape[1] > last_size(image.shape[1]) else PlainBlock
      )
      x = block(features, hidden=x.shape[-1], **shared)(x)
    x = nn.relu(x).astype(jnp.float32).mean((1, 2))
    return nn.Dense(1, use_bias=False, kernel_init=xavier_uniform())(x)[:, 0]


def wgan_gp(
  resolution: int = 32,
  channels: int = 3,
  *,
  penalty_weight: float = 10.0,
  latent_dim: int = 128,
  generator_width: int = 128,
  critic_width: int = 128,
  learning_rate: optax.ScalarOrSchedule = 2e-4,
  b1: float = 0.0,
  b2: float = 0.9,
  n_critic: int = 5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The Wasserstein GAN with gradient penalty of Gulrajani et al.

  Args:
    resolution: height and width of the pictures, a power of two from 8 on;
      `batch['image']` is `[n, resolution, resolution, channels]` in [-1, 1].
    channels: of the pictures.
    penalty_weight: lambda, of `penalties.gradient_penalty`.
    latent_dim: entries of a latent, standard normal.
    generator_width: channels of the generator's blocks up to 32 pixels; beyond
      as of `jgan.models.sngan`.
    critic_width: of the critic's.
    learning_rate: Adam's, of both players; or a schedule, a function of the
      number of the generator's moves, such as the paper's
      `optax.linear_schedule(2e-4, 0, 100_000)`.
    b1: Adam's decay of the first moment.
    b2: Adam's decay of the second.
    n_critic: critic moves for one of the generator.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` without labels; the critic is the player 'discriminator'.

  Raises:
    ValueError: if the resolution is no power of two of at least 8.
  """
  widths(resolution, generator_width, 4)  # refuses what cannot be built

  def penalty(critic, real, fake, keys):
    return penalty_weight * penalties.gradient_penalty(critic, real, fake, keys)

  slower = at_generator_pace(learning_rate, n_critic)
  return standard_gan(
    Generator(
      resolution, channels, generator_width, dtype=dtype, axis_name=axis_name
    ),
    Critic(critic_width, dtype),
    loss=losses.wasserstein,
    generator_optimizer=optax.adam(learning_rate, b1, b2),
    discriminator_optimizer=optax.adam(slower, b1, b2),
    latent=latents.normal(latent_dim),
    penalty=penalty,
    n_critic=n_critic,
    ema_decay=ema_decay,
    axis_name=axis_name,
  )
