"""DCGAN: strided convolutions with batch normalisation.

Radford et al., Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks, 2016 (https://arxiv.org/abs/1511.06434): the
generator grows a 4x4 picture by transposed convolutions, each but the last
followed by batch normalisation and ReLU; the discriminator shrinks one by
strided convolutions with leaky ReLU, normalised but for the first; weights
from N(0, .02), Adam at 2e-4 with b1 = .5.

Differences: kernels of 4x4 in place of 5x5, which overlap evenly at stride 2
and are what most later implementations took; latents are normal, not uniform;
no biases before a normalisation, where they have no effect; no weight decay,
which the authors' code has, at 1e-5, and the paper has not; running statistics
follow with momentum .9; an optional average of the generator's params to sample
from, and optional labels, which the paper has not: as in Mirza and Osindero
(https://arxiv.org/abs/1411.1784) they are concatenated, one-hot, to the latent
and as constant channels to the picture. Pictures may have any height and width
that doublings reach from a base of which the shorter side has 4 to 7 pixels, in
place of 4x4.
"""

import itertools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import initializers, latents, losses
from jgan.convolutions import conv2d
from jgan.gan import GAN
from jgan.layers import BatchNorm, ConvTranspose, one_hot
from jgan.standard import standard_gan

_normal = initializers.normal(0.02)


class Generator(nn.Module):
  """Latents, and labels where there are classes, to pictures in [-1, 1].

  Attributes:
    resolution: height and width as of `dcgan`.
    channels: of the picture.
    width: channels at half of the resolution; each halving doubles them, up
      to 8 times.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation; params and pictures are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  resolution: int | tuple[int, int]
  channels: int
  width: int = 64
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
    def norm_relu(x):
      norm = BatchNorm(
        0.9,
        scale_init=_scale_init,
        dtype=self.dtype,
        axis_name=self.axis_name,
      )
      return nn.relu(norm(x, use_running_average=not train))

    widths = layer_widths(self.resolution, self.width)
    x = latent.astype(self.dtype)
    if self.num_classes is not None:
      classes = one_hot(label, self.num_classes, self.dtype)
      x = jnp.concatenate([x, classes], -1)
    base = [side >> len(widths) for side in sides(self.resolution)]
    features = math.prod(base) * widths[-1]
    x = _dense(features, self.dtype, use_bias=False)(x)
    x = norm_relu(x.reshape(-1, *base, widths[-1]))
    for features in reversed(widths[:-1]):
      x = norm_relu(self._grow(features, use_bias=False)(x))
    x = self._grow(self.channels)(x)
    return jnp.tanh(x.astype(jnp.float32))

  def _grow(self, features, use_bias=True):
    return ConvTranspose(
      features,
      (4, 4),
      (2, 2),
      use_bias=use_bias,
      kernel_init=_normal,
      dtype=self.dtype,
    )


class Discriminator(nn.Module):
  """Pictures, and labels where there are classes, to logits.

  Packs of pictures have packs of labels, `[n, pack]`.

  Attributes:
    width: channels at half of the resolution; each halving doubles them, up
      to 8 times.
    num_classes: of the labels; None ignores labels.
    batch_norm: normalise after each convolution but the first. Without, each
      picture is judged by itself, as gradient penalties need.
    logit_bias: add a learned constant to the logits. Losses of differences of
      logits (Wasserstein, relativistic) do not feel it.
    dtype: of the computation; params and logits are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  width: int = 64
  num_classes: int | None = None
  batch_norm: bool = True
  logit_bias: bool = True
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self,
    image: Float[Array, 'n h w c'],
    label: Int[Array, 'n *pack'] | None,
    *,
    train: bool,
  ) -> Float[Array, 'n']:
    x = image.astype(self.dtype)
    if self.num_classes is not None:
      classes = one_hot(label, self.num_classes, self.dtype)
      classes = classes.reshape(x.shape[0], 1, 1, -1)
      planes = jnp.broadcast_to(classes, (*x.shape[:3], classes.shape[-1]))
      x = jnp.concatenate([x, planes], -1)
    for i, features in enumerate(layer_widths(image.shape[1:3], self.width)):
      normalised = self.batch_norm and i > 0
      x = nn.Conv(
        features,
        (4, 4),
        (2, 2),
        use_bias=not normalised,
        kernel_init=_normal,
        dtype=self.dtype,
        conv_general_dilated=conv2d,
      )(x)
      if normalised:
        norm = BatchNorm(
          0.9,
          scale_init=_scale_init,
          dtype=self.dtype,
          axis_name=self.axis_name,
        )
        x = norm(x, use_running_average=not train)
      x = nn.leaky_relu(x, 0.2)
    x = x.reshape(x.shape[0], -1)
    x = _dense(1, self.dtype, self.logit_bias)(x)
    return x.astype(jnp.float32)[:, 0]


def dcgan(
  resolution: int | tuple[int, int] = 32,
  channels: int = 1,
  *,
  num_classes: int | None = None,
  loss: losses.AdversarialLoss = losses.non_saturating,
  latent_dim: int = 100,
  width: int = 64,
  learning_rate: float = 2e-4,
  discriminator_learning_rate: float | None = None,
  b1: float = 0.5,
  n_critic: int = 1,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
  **options: Any,
) -> GAN:
  """The convolutional GAN of Radford et al.

  Args:
    resolution: the side of square pictures, a power of two from 8 on; or
      height and width, such as (64, 48): both can be halved exactly until the
      shorter one has 4 to 7 pixels. `batch['image']` is
      `[n, height, width, channels]` in [-1, 1].
    channels: 1 for grey, 3 for colour, or any other number.
    num_classes: condition on `batch['label']`, integers from 0 on below it;
      None plays without labels.
    loss: the game; the paper's is `losses.non_saturating`.
    latent_dim: entries of a latent, standard normal.
    width: channels at half of the resolution (the paper's 64-pixel networks
      have 128 in the generator and 64 in the discriminator).
    learning_rate: Adam's.
    discriminator_learning_rate: the discriminator's; None takes the same.
    b1: Adam's decay of the first moment.
    n_critic: discriminator moves for one of the generator.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation, jnp.bfloat16 for half the memory.
    axis_name: under pmap and shard_map, the axis over the devices.
    **options: other arguments of `standard_gan`: `augment`, `penalty`, `pack`.

  Returns:
    A `GAN` with players 'discriminator' and 'generator'.

  Raises:
    ValueError: if the resolution is another; the nearest is named.

  >>> import jax, jax.numpy as jnp
  >>> gan = dcgan(resolution=8, width=4)
  >>> batch = {'image': jnp.zeros((2, 8, 8, 1))}
  >>> state = jgan.init(gan, jax.random.key(0), batch)
  >>> jgan.sample(gan, state, {'index': jnp.arange(3)}, jax.random.key(1)).shape
  (3, 8, 8, 1)
  """
  layer_widths(resolution, width)  # refuses what cannot be built
  shared = {
    'width': width,
    'num_classes': num_classes,
    'dtype': dtype,
    'axis_name': axis_name,
  }
  if discriminator_learning_rate is None:
    discriminator_learning_rate = learning_rate
  return standard_gan(
    Generator(resolution, channels, **shared),
    Discriminator(**shared),
    loss=loss,
    generator_optimizer=optax.adam(learning_rate, b1=b1),
    discriminator_optimizer=optax.adam(discriminator_learning_rate, b1=b1),
    latent=latents.normal(latent_dim),
    n_critic=n_critic,
    ema_decay=ema_decay,
    axis_name=axis_name,
    **options,
  )


def layer_widths(
  resolution: int | tuple[int, int], width: int
) -> tuple[int, ...]:
  """Channels after each halving, from half of the resolution to the base.

  Args:
    resolution: as of `dcgan`.
    width: channels at half of the resolution.

  Raises:
    ValueError: the halvings do not come out even.
  """
  shape = sides(resolution)
  nearest = _nearest(shape)
  square = not isinstance(resolution, tuple)
  if square and (resolution < 8 or resolution.bit_count() > 1):
    raise ValueError(
      'dcgan: the resolution must be a power of two of at least 8, got '
      f'{resolution}; as height and width, {nearest} is the nearest.'
    )
  if shape != nearest:
    raise ValueError(
      'dcgan: height and width must be at least 8, and halve exactly until the '
      f'shorter has 4 to 7 pixels, got {shape}; {nearest} is the nearest.'
    )
  return tuple(width * min(2**i, 8) for i in range(_halvings(shape)))


def sides(resolution: int | tuple[int, int]) -> tuple[int, int]:
  """Height and width; one number is a square's side."""
  if isinstance(resolution, tuple):
    height, width = resolution
    return height, width
  return resolution, resolution


def _halvings(shape):
  """How often the shorter side halves until it has less than 8 pixels."""
  return (min(shape) // 4).bit_length() - 1


def _nearest(shape):
  """The height and width, of those that come out even, of the least change."""

  def change(pair):
    ratios = (a / max(b, 1) for a, b in zip(pair, shape, strict=True))
    return sum(abs(math.log(ratio)) for ratio in ratios)

  found = []
  most = max(_halvings(shape), 1)
  for halvings in range(max(most - 1, 1), most + 2):
    base = [max(side >> halvings, 4) for side in shape]
    for more in itertools.product((0, 1), repeat=2):
      pair = tuple(b + m << halvings for b, m in zip(base, more, strict=True))
      if _halvings(pair) == halvings:
        found.append(pair)
  return min(found, key=change)


def _scale_init(key, shape, dtype=jnp.float32):
  return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def _dense(features, dtype, use_bias=True):
  return nn.Dense(features, use_bias=use_bias, kernel_init=_normal, dtype=dtype)
