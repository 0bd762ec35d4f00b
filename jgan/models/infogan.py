"""InfoGAN: codes in the latent that can be read off the picture.

Chen et al., InfoGAN: Interpretable Representation Learning by Information
Maximizing Generative Adversarial Nets, 2016 (https://arxiv.org/abs/1606.03657),
with the networks and numbers of its appendix for MNIST: 62 entries of noise,
one category of ten values and two continuous codes; a generator of two hidden
layers and two 4x4 transposed convolutions; a discriminator of two 4x4
convolutions and a layer of 1024, on which a second head Q, of 128, tells the
codes; Adam at 1e-3 for the generator, 2e-4 for the discriminator, b1 = .5.

Both players descend -log Q(codes | sample) beside the adversarial loss, which
raises a lower bound on the mutual information of codes and samples (equation
5). Q shares all but its last layers with the discriminator, hence lives among
that player's params and moves with them, as in the authors' published code: in
its own move the discriminator learns to read the codes of fakes, in the
generator's move it is still, and the generator learns to write them legibly.

Differences: pictures in [-1, 1] through tanh, for [0, 1] through a sigmoid; Q's
Gaussian for continuous codes has deviation 1, as in the authors' code for MNIST
(the appendix learns one), so that one weight serves all codes; no biases before
a normalisation, where they have no effect.
"""

import functools
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
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
    resolution: height and width, a multiple of 4.
    channels: of the picture.
    width: channels at half of the resolution.
    hidden: units of the first layer.
    dtype: of the computation; params and pictures are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  resolution: int
  channels: int
  width: int = 64
  hidden: int = 1024
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, latent: Float[Array, 'n d'], label: Array | None, *, train: bool
  ) -> Float[Array, 'n h w c']:
    def norm_relu(x):
      norm = BatchNorm(0.9, dtype=self.dtype, axis_name=self.axis_name)
      return nn.relu(norm(x, use_running_average=not train))

    grow = functools.partial(
      ConvTranspose,
      kernel_size=(4, 4),
      strides=(2, 2),
      kernel_init=_normal,
      dtype=self.dtype,
    )
    side = self.resolution // 4
    x = norm_relu(_dense(self.hidden, self.dtype)(latent))
    x = norm_relu(_dense(side * side * 2 * self.width, self.dtype)(x))
    x = x.reshape(-1, side, side, 2 * self.width)
    x = norm_relu(grow(self.width, use_bias=False)(x))
    return jnp.tanh(grow(self.channels)(x).astype(jnp.float32))


class Discriminator(nn.Module):
  """Pictures to 'logits' and Q's guesses: 'category_logits', 'code_means'.

  Attributes:
    categories: values of each categorical code; `[n, sum]` logits in a row.
    continuous: how many continuous codes there are; `[n, continuous]` means.
    width: channels after the first convolution.
    hidden: units of the last layer that both heads share.
    q_hidden: units of Q's own layer.
    dtype: of the computation; params and outputs are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  categories: tuple[int, ...]
  continuous: int
  width: int = 64
  hidden: int = 1024
  q_hidden: int = 128
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, image: Float[Array, 'n h w c'], label: Array | None, *, train: bool
  ) -> Mapping[str, Array]:
    def norm_leaky(x):
      norm = BatchNorm(0.9, dtype=self.dtype, axis_name=self.axis_name)
      return nn.leaky_relu(norm(x, use_running_average=not train), 0.1)

    conv = functools.partial(
      nn.Conv,
      kernel_size=(4, 4),
      strides=(2, 2),
      kernel_init=_normal,
      dtype=self.dtype,
      conv_general_dilated=conv2d,
    )
    x = nn.leaky_relu(conv(self.width)(image), 0.1)
    x = norm_leaky(conv(2 * self.width, use_bias=False)(x))
    x = x.reshape(x.shape[0], -1)
    x = norm_leaky(_dense(self.hidden, self.dtype)(x))
    logits = _dense(1, self.dtype, use_bias=True)(x)[:, 0]
    ways = sum(self.categories)
    x = norm_leaky(_dense(self.q_hidden, self.dtype)(x))
    guesses = _dense(ways + self.continuous, self.dtype, use_bias=True)(x)
    guesses = guesses.astype(jnp.float32)
    return {
      'logits': logits.astype(jnp.float32),
      'category_logits': guesses[:, :ways],
      'code_means': guesses[:, ways:],
    }


def code_loss(
  outputs: Mapping[str, Array],
  latent: Float[Array, 'n d'],
  categories: tuple[int, ...],
  continuous: int,
) -> Float[Array, 'n']:
  """-log Q(codes | sample), less its constants, for each example.

  The cross-entropy of each categorical code (2.30 where ten values are only
  guessed at, 0 where they are known) and half of the squared errors of the
  continuous ones. The mutual information is at least the codes' entropy less
  its mean.

  Args:
    outputs: 'category_logits' and 'code_means', as `Discriminator` makes them.
    latent: the latents of the samples that were judged.
    categories: as of `jgan.latents.codes`.
    continuous: as of `jgan.latents.codes`.

  References:
    Chen et al., 2016, equation 5.
  """
  _, chosen, codes = latents.split_codes(latent, categories, continuous)
  *logits, _ = jnp.split(outputs['category_logits'], np.cumsum(categories), -1)
  entropies = [
    optax.losses.softmax_cross_entropy(guess, truth)
    for guess, truth in zip(logits, chosen, strict=True)
  ]
  squares = ((outputs['code_means'] - codes) ** 2).sum(-1)
  return sum(entropies, squares / 2)


def infogan(
  resolution: int = 28,
  channels: int = 1,
  *,
  noise: int = 62,
  categories: tuple[int, ...] = (10,),
  continuous: int = 2,
  information_weight: float = 1.0,
  width: int = 64,
  hidden: int = 1024,
  generator_learning_rate: float = 1e-3,
  discriminator_learning_rate: float = 2e-4,
  b1: float = 0.5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The information maximizing GAN of Chen et al.

  Its latents are `jgan.latents.codes(noise, categories, continuous)`; for
  samples of chosen codes put `jgan.latents.join_codes(...)` in
  `batch['latent']`. The metric 'auxiliary' is the weighted mean of `code_loss`.

  Args:
    resolution: height and width of the pictures, a multiple of 4 from 8 on;
      `batch['image']` is `[n, resolution, resolution, channels]` in [-1, 1].
    channels: of the pictures.
    noise: entries of the latent that mean nothing.
    categories: how many values each categorical code has.
    continuous: how many continuous codes there are.
    information_weight: lambda.
    width: channels at half of the resolution; twice as many at a quarter.
    hidden: units of both networks' dense layers; Q's own has an eighth.
    generator_learning_rate: Adam's.
    discriminator_learning_rate: Adam's, Q's too.
    b1: Adam's decay of the first moment.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` without labels.

  Raises:
    ValueError: if the resolution is no multiple of 4 of at least 8, or there
      is no code, or a category of less than two values.
  """
  if resolution % 4 or resolution < 8:
    raise ValueError(
      'infogan: the resolution must be a multiple of 4 of at least 8, got '
      f'{resolution}.'
    )
  if not categories and not continuous:
    raise ValueError(
      'infogan: needs a category or a continuous code, got none.'
    )

  def auxiliary(real, fake, latent, batch):
    loss = code_loss(fake, latent, categories, continuous)
    return information_weight * loss, information_weight * loss

  shared = {'dtype': dtype, 'axis_name': axis_name}
  return standard_gan(
    Generator(resolution, channels, width, hidden, **shared),
    Discriminator(
      categories, continuous, width, hidden, max(hidden // 8, 1), **shared
    ),
    loss=losses.non_saturating,
    generator_optimizer=optax.adam(generator_learning_rate, b1=b1),
    discriminator_optimizer=optax.adam(discriminator_learning_rate, b1=b1),
    latent=latents.codes(noise, categories, continuous),
    auxiliary=auxiliary,
    ema_decay=ema_decay,
    axis_name=axis_name,
  )


def _dense(features, dtype, use_bias=False):
  return nn.Dense(features, use_bias=use_bias, kernel_init=_normal, dtype=dtype)
