"""LSGAN: the least squares game, with the networks of its paper.

Mao et al., Least Squares Generative Adversarial Networks, 2017
(https://arxiv.org/abs/1611.04076), figure 2: latents of 1024 entries, a
generator of 3x3 transposed convolutions that stand in pairs (one that doubles
the picture, one that keeps its size) and a discriminator of 5x5 convolutions of
stride 2. The paper's 112-pixel scenes start at 7x7 and double four times; here
any multiple of 16 works, and with fewer doublings any of 8 or 4.

Adam at 1e-3 and b1 = .5, as the paper has for scenes.

Differences: latents are normal, in place of uniform in [-1, 1] as in the
authors' code; no biases before a normalisation, where they have no effect. What
the paper leaves open is as in that code: leaky ReLU of slope .2, running
statistics with momentum .9.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jgan import initializers, latents, losses
from jgan.convolutions import conv2d
from jgan.gan import GAN
from jgan.layers import BatchNorm, ConvTranspose
from jgan.standard import standard_gan

_normal = initializers.normal(0.02)


class Generator(nn.Module):
  """Latents to pictures in [-1, 1].

  Attributes:
    resolution: height and width, a multiple of 2 to the `doublings`.
    channels: of the picture.
    width: channels of the widest layers; the paper's 256.
    doublings: of the picture; the paper's 4.
    dtype: of the computation; params and pictures are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  resolution: int
  channels: int
  width: int = 256
  doublings: int = 4
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, latent: Float[Array, 'n d'], label: Array | None, *, train: bool
  ) -> Float[Array, 'n h w c']:
    def norm_relu(x):
      norm = BatchNorm(0.9, dtype=self.dtype, axis_name=self.axis_name)
      return nn.relu(norm(x, use_running_average=not train))

    conv = functools.partial(
      ConvTranspose,
      kernel_size=(3, 3),
      kernel_init=_normal,
      dtype=self.dtype,
    )
    side, full = self.resolution >> self.doublings, self.width
    x = nn.Dense(
      side * side * full, use_bias=False, kernel_init=_normal, dtype=self.dtype
    )(latent)
    x = norm_relu(x.reshape(-1, side, side, full))
    pairs = [(full, 2), (full, 1)] * (self.doublings - 2)
    for features, stride in (*pairs, (full // 2, 2), (full // 4, 2)):
      features = max(features, 1)
      x = conv(features, strides=(stride, stride), use_bias=False)(x)
      x = norm_relu(x)
    x = conv(self.channels, strides=(1, 1))(x)
    return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
  """Pictures to logits, which here are scores with targets a, b and c.

  Attributes:
    width: channels after the first convolution; each halving doubles them.
    halvings: of the picture; the paper's 4.
    dtype: of the computation; params and logits are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  width: int = 64
  halvings: int = 4
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, image: Float[Array, 'n h w c'], label: Array | None, *, train: bool
  ) -> Float[Array, 'n']:
    x = image
    for i in range(self.halvings):
      x = nn.Conv(
        self.width << i,
        (5, 5),
        (2, 2),
        use_bias=i == 0,
        kernel_init=_normal,
        dtype=self.dtype,
        conv_general_dilated=conv2d,
      )(x)
      if i > 0:
        norm = BatchNorm(0.9, dtype=self.dtype, axis_name=self.axis_name)
        x = norm(x, use_running_average=not train)
      x = nn.leaky_relu(x, 0.2)
    x = x.reshape(x.shape[0], -1)
    x = nn.Dense(1, kernel_init=_normal, dtype=self.dtype)(x)
    return x.astype(jnp.float32)[:, 0]


def lsgan(
  resolution: int = 112,
  channels: int = 3,
  *,
  real_label: float = 1.0,
  fake_label: float = 0.0,
  generator_label: float = 1.0,
  latent_dim: int = 1024,
  generator_width: int = 256,
  discriminator_width: int = 64,
  doublings: int = 4,
  learning_rate: float = 1e-3,
  b1: float = 0.5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The least squares GAN of Mao et al.

  Args:
    resolution: height and width of the pictures, a multiple of 2 to the
      `doublings`; `batch['image']` is `[n, resolution, resolution, channels]`
      in [-1, 1].
    channels: of the pictures.
    real_label: b, the target for reals. The paper compares (a, b, c) =
      (0, 1, 1), the default, and (-1, 1, 0).
    fake_label: a, the target for fakes.
    generator_label: c, the generator's target for its fakes.
    latent_dim: entries of a latent, standard normal.
    generator_width: channels of the generator's widest layers.
    discriminator_width: channels of the discriminator's first.
    doublings: of the picture in the generator, and halvings in the
      discriminator; 2 or more.
    learning_rate: Adam's, of both players.
    b1: Adam's decay of the first moment.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` without labels.

  Raises:
    ValueError: if the resolution is no multiple of 2 to the `doublings`, or
      these are fewer than 2.
  """
  if doublings < 2 or resolution % (1 << doublings) or resolution < 1:
    raise ValueError(
      f'lsgan: with {doublings} doublings, of 2 or more, the resolution must '
      f'be a multiple of {1 << doublings}, got {resolution}.'
    )
  loss = losses.AdversarialLoss(
    functools.partial(
      losses.least_squares_generator_loss, generator_label=generator_label
    ),
    functools.partial(
      losses.least_squares_discriminator_loss,
      real_label=real_label,
      fake_label=fake_label,
    ),
  )
  shared = {'dtype': dtype, 'axis_name': axis_name}
  return standard_gan(
    Generator(resolution, channels, generator_width, doublings, **shared),
    Discriminator(discriminator_width, doublings, **shared),
    loss=loss,
    generator_optimizer=optax.adam(learning_rate, b1=b1),
    discriminator_optimizer=optax.adam(learning_rate, b1=b1),
    latent=latents.normal(latent_dim),
    ema_decay=ema_decay,
    axis_name=axis_name,
  )
