"""R3GAN: the relativistic pairing game with two penalties, modern networks.

Huang et al., The GAN is dead; long live the GAN! A Modern GAN Baseline, 2024
(https://arxiv.org/abs/2501.05441), configuration E: residual stages of grouped
convolutions between pointwise ones, without normalisation; each real is judged
against a fake; the squared slopes at reals and fakes (R1 + R2) cost gamma / 2
in every step; learning rate, Adam's b2, gamma, the average's half-life and the
augmentation follow cosines of the images seen.

The defaults are the paper's for CIFAR-10. Its generator and discriminator have
20.76M and 21.26M parameters, as ours have without the 24,576 biases of each.

Differences: both players move on the same reals and latents, where the authors
draw anew for the generator's move; augmentation is `jgan.ada`'s, and is
optional; with it the penalties' slopes are those at the augmented pictures,
where the authors take them at the pictures before.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import ada, latents, losses, penalties, schedules
from jgan.gan import GAN
from jgan.initializers import normal
from jgan.layers import GroupedConv, one_hot
from jgan.models.stylegan2 import upsample
from jgan.standard import standard_gan

Images = Float[Array, 'n h w c']

_SLOPE = 0.2
_GAIN = math.sqrt(2 / (1 + _SLOPE**2))


class Block(nn.Module):
  """1x1, grouped 3x3, 1x1; the first two with bias and leaky ReLU; plus input.

  The last convolution starts at 0, the others so small that a network of
  `depth` blocks keeps the size of its updates (Zhang et al., Fixup, 2019).

  Attributes:
    depth: blocks in the network.
    group: channels of each group.
    expansion: channels inside for one outside.
    dtype: of the computation.
  """

  depth: int
  group: int = 16
  expansion: int = 2
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Images) -> Images:
    width = x.shape[-1]
    inner = width * self.expansion
    gain = _GAIN * self.depth ** (-1 / 4)
    y = _linear(inner, width, gain, self.dtype, name='expand')(x)
    y = nn.leaky_relu(_Bias(name='expand_bias')(y), _SLOPE)
    y = GroupedConv(
      inner,
      (3, 3),
      inner // self.group,
      kernel_init=normal(gain / math.sqrt(9 * self.group)),
      dtype=self.dtype,
      name='mix',
    )(y)
    y = nn.leaky_relu(_Bias(name='mix_bias')(y), _SLOPE)
    return x + _linear(width, inner, 0.0, self.dtype, name='contract')(y)


class _Bias(nn.Module):
  """Adds one learned number to each channel."""

  @nn.compact
  def __call__(self, x):
    bias = self.param('bias', nn.initializers.zeros, x.shape[-1:], jnp.float32)
    return x + bias.astype(x.dtype)[None, None, None]


class Generator(nn.Module):
  """Latents, and labels where there are classes, to pictures.

  Pictures have no bounds; data lie in [-1, 1].

  Attributes:
    channels: of the picture.
    widths: channels at 4x4, 8x8, ... up to the resolution.
    blocks: in each stage.
    group: channels of each group of a grouped convolution.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation beyond 4x4; params and pictures are float32.
  """

  channels: int
  widths: Sequence[int]
  blocks: int = 2
  group: int = 16
  num_classes: int | None = None
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    latent: Float[Array, 'n d'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n h w c']:
    size = latent.shape[-1]
    if self.num_classes is not None:
      classes = one_hot(label, self.num_classes)
      embedded = _linear(size, self.num_classes)(classes)
      latent = jnp.concatenate([latent, embedded], -1)
    first = self.widths[0]
    basis = self.param('basis', normal(1.0), (4, 4, first))
    x = _linear(first, latent.shape[-1])(latent)
    x = basis[None] * x[:, None, None]
    for i, width in enumerate(self.widths):
      dtype = self.dtype if i else jnp.float32
      x = x.astype(dtype)
      if i:
        x = upsample(x)
        x = _to_width(x, width, dtype)
      x = _stage(self, x, dtype)
    return _linear(self.channels, x.shape[-1], 1.0)(x.astype(jnp.float32))


class Discriminator(nn.Module):
  """Pictures, and labels where there are classes, to logits.

  Attributes:
    widths: channels at 4x4, 8x8, ... up to the resolution.
    blocks: in each stage.
    group: channels of each group of a grouped convolution.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation beyond 4x4; params and logits are float32.
  """

  widths: Sequence[int]
  blocks: int = 2
  group: int = 16
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
    *low, last = self.widths
    x = _linear(last, image.shape[-1], 1.0)(image).astype(self.dtype)
    x = _stage(self, x, self.dtype)
    for i, width in reversed(list(enumerate(low))):
      dtype = self.dtype if i else jnp.float32
      x = downsample(x).astype(dtype)
      x = _stage(self, _to_width(x, width, dtype), dtype)
    kernel = self.param('basis', normal(1 / 4), (4, 4, x.shape[-1]))
    x = (x * kernel[None]).sum((1, 2))
    width = x.shape[-1]
    if self.num_classes is None:
      return _linear(1, width)(x)[:, 0]
    x = _linear(width, width)(x)
    classes = one_hot(label, self.num_classes)
    embed = _linear(width, self.num_classes, 1 / math.sqrt(width))
    return (x * embed(classes)).sum(-1)


def r3gan(
  resolution: int = 32,
  channels: int = 3,
  *,
  num_classes: int | None = None,
  widths: Sequence[int] = (768, 768, 768, 768),
  blocks: int = 2,
  group: int = 16,
  latent_dim: int = 64,
  batch_size: int = 512,
  images: int = 20_000_000,
  learning_rate: tuple[float, float] = (2e-4, 5e-5),
  b2: tuple[float, float] = (0.9, 0.99),
  gamma: tuple[float, float] = (0.05, 0.005),
  half_life: int = 5_000_000,
  augmentation: float = 0.0,
  dtype: DTypeLike = jnp.float32,
  **options: Any,
) -> GAN:
  """The GAN of Huang et al., with its schedules.

  Args:
    resolution: height and width of the pictures, 4 times a power of two, as the
      number of `widths` tells; `batch['image']` is `[n, resolution, resolution,
      channels]` in [-1, 1].
    channels: of the pictures.
    num_classes: condition on `batch['label']`, integers from 0 on below it;
      None plays without labels.
    widths: channels at 4x4, 8x8, ... up to the resolution, of both networks.
    blocks: residual blocks at each of these sizes.
    group: channels of each group of a grouped convolution; divides twice each
      width.
    latent_dim: entries of a latent, standard normal.
    batch_size: pictures in a step, by which the schedules count.
    images: over which the schedules run; then all stay as they are.
    learning_rate: Adam's, of both players, from and to.
    b2: Adam's decay of the second moment, from and to; b1 is 0.
    gamma: weight of R1 and R2, from and to.
    half_life: of the averaged generator, in images, at the end; 0 at first.
    augmentation: the probability p of `jgan.ada` at the end, 0 at first; the
      paper's is .55 for CIFAR-10. 0 plays without.
    dtype: of the computation beyond 4x4; bfloat16 is the authors'.
    **options: other arguments of `standard_gan`.

  Returns:
    A `GAN` with players 'discriminator' and 'generator'.

  Raises:
    ValueError: if the resolution is not that of `widths`, or the group does not
      divide; from `init` and later, where labels are needed and there are none.
  """
  _check(resolution, widths, group)
  steps = -(-images // batch_size)
  cosine = functools.partial(schedules.cosine, steps=steps)

  def optimizer():
    return optax.inject_hyperparams(optax.adam)(
      cosine(*learning_rate), b1=0.0, b2=cosine(*b2), eps=1e-8
    )

  def penalty(critic, real, fake, keys):
    return (penalties.r1(critic, real) + penalties.r2(critic, fake)) / 2

  def ema_decay(step):
    life = cosine(0.0, float(half_life))(step)
    return jnp.exp2(-batch_size / jnp.maximum(life, 1e-8))

  if augmentation:
    augment, tracker = ada.scheduled(_AUGMENTATION, cosine(0.0, augmentation))
    options = {'augment': augment, 'tracker': tracker, **options}
  shared = {'num_classes': num_classes, 'dtype': dtype}
  return standard_gan(
    Generator(channels, tuple(widths), blocks, group, **shared),
    Discriminator(tuple(widths), blocks, group, **shared),
    loss=losses.relativistic,
    generator_optimizer=optimizer(),
    discriminator_optimizer=optimizer(),
    latent=latents.normal(latent_dim),
    penalty=penalty,
    penalty_weight=cosine(*gamma),
    ema_decay=ema_decay,
    **options,
  )


# Geometry and cutout at p, colours at half of it.
_AUGMENTATION = ada.Strengths(*[1.0] * 7, *[0.5] * 5, cutout=1.0)


def downsample(x: Images) -> Float[Array, 'n h//2 w//2 c']:
  """Half the size, by the filter 1, 3, 3, 1, with zeros beyond the edges."""
  for axis in (1, 2):
    even, odd = (
      lax.slice_in_dim(x, i, None, stride=2, axis=axis) for i in range(2)
    )
    padding, size = [(int(i == axis),) * 2 for i in range(4)], odd.shape[axis]
    before = lax.slice_in_dim(jnp.pad(odd, padding), 0, size, axis=axis)
    after = lax.slice_in_dim(jnp.pad(even, padding), 2, size + 2, axis=axis)
    x = (before + 3 * (even + odd) + after) / 8
  return x


def _stage(network, x, dtype):
  depth = network.blocks * len(network.widths)
  for _ in range(network.blocks):
    x = Block(depth, network.group, dtype=dtype)(x)
  return x


def _to_width(x, width, dtype):
  if x.shape[-1] == width:
    return x
  return _linear(width, x.shape[-1], 1.0, dtype)(x)


def _linear(features, fan_in, gain=1.0, dtype=jnp.float32, name=None):
  """Of channels; of pictures the pointwise convolution, as a matrix product."""
  return nn.Dense(
    features,
    use_bias=False,
    kernel_init=normal(gain / math.sqrt(fan_in)),
    dtype=dtype,
    name=name,
  )


def _check(resolution: int, widths: Sequence[int], group: int) -> None:
  if resolution != 2 << len(widths):
    raise ValueError(
      f'r3gan: {len(widths)} widths are for {2 << len(widths)} pixels, got a '
      f'resolution of {resolution}.'
    )
  if any(2 * width % group for width in widths):
    raise ValueError(
      f'r3gan: a group of {group} channels must divide twice each width, got '
      f'{tuple(widths)}.'
    )
