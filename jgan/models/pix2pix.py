"""pix2pix: one picture becomes another, learned from pairs.

Isola et al., Image-to-Image Translation with Conditional Adversarial Networks,
2017 (https://arxiv.org/abs/1611.07004). The generator is a U-Net: 4x4
convolutions of stride 2 down to one pixel and up again, each level joined to
its mirror image; its only noise is dropout of a half in the first three levels
on the way up, in sampling too. The discriminator judges input and output
together, patch by patch, 70x70 pixels each. The generator descends the
adversarial loss plus 100 times the mean absolute error; the discriminator's
loss is halved; weights from N(0, .02), Adam at 2e-4 with b1 = .5.

Differences: the paper takes the statistics of batch normalisation from the
batch also in sampling; here samples do not depend on their neighbours, so it
uses running statistics (momentum .9), or, with `batch_norm=False`, each
picture's own, to which the paper's come at its batches of one picture; no
normalisation at one pixel, where nothing would be left; no biases before a
normalisation, where they have no effect; dropout is drawn for each example from
its own key; no random crops; an optional average of the generator's params to
sample from.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.core import DenyList
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from jgan import gradients, initializers, losses, sharding
from jgan.convolutions import conv2d
from jgan.gan import GAN, Batch, LossOutput, Player, Variables
from jgan.layers import BatchNorm, ConvTranspose, InstanceNorm
from jgan.standard import logit_metrics

Images = Float[Array, 'n h w c']

Reconstruction = Callable[[Array, Array], Array]
"""`(fake, truth) -> ` the error of each pixel and channel."""

_DROPPED = 3  # levels on the way up that have dropout
_NOISE = 0  # folded into a move's key
_COLLECTIONS = DenyList(('params', 'intermediates'))
_normal = initializers.normal(0.02)


class UNet(nn.Module):
  """Pictures to pictures in [-1, 1] of the same height and width.

  Attributes:
    channels: of the result.
    depth: halvings; height and width are multiples of `2**depth`.
    width: channels at half of the resolution; each halving doubles them, up
      to 8 times.
    dropout: share of activations that are dropped where there are keys.
    batch_norm: normalise over the batch; False: each picture by itself.
    dtype: of the computation; params and pictures are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  channels: int
  depth: int
  width: int = 64
  dropout: float = 0.5
  batch_norm: bool = True
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, x: Images, keys: Shaped[Array, 'n ...'] | None, *, train: bool
  ) -> Float[Array, 'n h w d']:
    """Translates `x`; `keys`, one for each, draw the noise, None draws none."""
    norm = functools.partial(
      normalised, self.batch_norm, train, self.dtype, self.axis_name
    )
    widths = [self.width * min(2**i, 8) for i in range(self.depth)]
    x, levels = x.astype(self.dtype), []
    for i, features in enumerate(widths):
      bare = i in (0, self.depth - 1)
      x = _conv(features, 2, self.dtype, use_bias=bare)(x)
      x = x if bare else norm(x)
      levels.append(x)
      x = nn.leaky_relu(x, 0.2)
    x = levels.pop()
    for i, features in enumerate(reversed(widths[:-1])):
      x = norm(_grow(features, self.dtype, use_bias=False)(nn.relu(x)))
      if keys is not None and i < _DROPPED:
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
        x = _dropped(x, own, self.dropout)
      x = jnp.concatenate([x, levels.pop()], -1)
    x = _grow(self.channels, self.dtype)(nn.relu(x))
    return jnp.tanh(x.astype(jnp.float32))


class PatchDiscriminator(nn.Module):
  """Pictures to logits of their patches, `[n, p, q]`.

  A patch has `2**layers * 9 - 2` pixels a side: 16, 34, 70, 142 of 1 to 4
  layers. The outer patches reach beyond the picture, into zeros.

  Attributes:
    layers: halvings, 1 or more; two convolutions of stride 1 follow.
    width: channels after the first; each other convolution doubles them, up to
      8 times.
    batch_norm: normalise over the batch; False: each picture by itself.
    dtype: of the computation; params and logits are float32.
    axis_name: of pmap or shard_map, for batch statistics of all devices.
  """

  layers: int = 3
  width: int = 64
  batch_norm: bool = True
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, image: Images, *, train: bool) -> Float[Array, 'n p q']:
    least = 3 << self.layers
    if self.layers < 1 or min(image.shape[1:3]) < least:
      raise ValueError(
        f'PatchDiscriminator: layers={self.layers} must be 1 or more, and '
        f'leaves a patch only of pictures of {least} pixels or more a side, '
        f'got {list(image.shape[1:3])}.'
      )
    x = image.astype(self.dtype)
    for i in range(self.layers + 1):
      features = self.width * min(2**i, 8)
      stride = 2 if i < self.layers else 1
      x = _conv(features, stride, self.dtype, use_bias=i == 0)(x)
      if i > 0:
        x = normalised(self.batch_norm, train, self.dtype, self.axis_name, x)
      x = nn.leaky_relu(x, 0.2)
    x = _conv(1, 1, self.dtype)(x)
    return x.astype(jnp.float32)[..., 0]


def pix2pix(
  resolution: int = 256,
  channels: int = 3,
  *,
  depth: int | None = None,
  width: int = 64,
  discriminator_width: int = 64,
  layers: int = 3,
  dropout: float = 0.5,
  sampling_noise: bool = True,
  batch_norm: bool = True,
  loss: losses.AdversarialLoss = losses.non_saturating,
  reconstruction: Reconstruction | None = None,
  reconstruction_weight: float = 100.0,
  learning_rate: optax.ScalarOrSchedule = 2e-4,
  b1: float = 0.5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The translation from pairs of Isola et al.

  The batch's 'x' are inputs `[n, resolution, resolution, any]` and its 'y'
  their translations `[n, resolution, resolution, channels]`, in [-1, 1].
  Samples translate `batch['x']`. Metrics of the generator: 'adversarial' and
  'reconstruction', the mean error before its weight; of the discriminator:
  `jgan.standard.logit_metrics` of patches.

  Args:
    resolution: height and width of both pictures.
    channels: of the translations.
    depth: halvings of the U-Net; None for as many as lead to one pixel, of a
      resolution that is a power of two.
    width: the U-Net's channels at half of the resolution.
    discriminator_width: the discriminator's channels there.
    layers: halvings of the discriminator, by which its patches have 16, 34, 70,
      142 pixels (1 to 4).
    dropout: the generator's noise, from 0 up to but not including 1.
    sampling_noise: whether sampling draws it, as the paper does; False gives
      one and the same translation for any key.
    batch_norm: normalise over the batch; False: each picture by itself, which
      suits batches of few.
    loss: the adversarial pair; the paper's is `losses.non_saturating`.
    reconstruction: `(fake, truth) -> ` errors, of which the mean is added to
      the generator's loss; None for their absolute difference (L1), for L2
      `optax.losses.squared_error`.
    reconstruction_weight: of that mean.
    learning_rate: Adam's, of both players, or a schedule of their moves.
    b1: Adam's decay of the first moment.
    ema_decay: of the averaged generator; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` with players 'discriminator' and 'generator'.

  Raises:
    ValueError: if the resolution does not fit the depth, or the dropout is out
      of its range; from `init`, where the batch has other pictures, or too
      small ones for the discriminator.

  >>> import jax, jax.numpy as jnp
  >>> gan = pix2pix(resolution=16, channels=3, layers=2, width=4)
  >>> batch = {'x': jnp.zeros((2, 16, 16, 1)), 'y': jnp.zeros((2, 16, 16, 3))}
  >>> state = jgan.init(gan, jax.random.key(0), batch)
  >>> inputs = {'x': jnp.zeros((5, 16, 16, 1))}
  >>> jgan.sample(gan, state, inputs, jax.random.key(1)).shape
  (5, 16, 16, 3)
  """
  losses.check_pair('pix2pix', loss)
  if not 0 <= dropout < 1:
    raise ValueError(
      f'pix2pix: dropout must be from 0 up to but not including 1, got '
      f'{dropout}.'
    )
  shared = {
    'batch_norm': batch_norm,
    'dtype': dtype,
    'axis_name': axis_name,
  }
  game = _Game(
    generator=UNet(
      channels, _depth(resolution, depth), width, dropout, **shared
    ),
    discriminator=PatchDiscriminator(layers, discriminator_width, **shared),
    resolution=resolution,
    loss=loss,
    reconstruction=reconstruction or absolute_error,
    reconstruction_weight=reconstruction_weight,
    sampling_noise=sampling_noise,
    axis_name=axis_name,
  )
  discriminator = Player(
    'discriminator', game.discriminator_loss, optax.adam(learning_rate, b1=b1)
  )
  generator = Player(
    'generator',
    game.generator_loss,
    optax.adam(learning_rate, b1=b1),
    ema_decay=ema_decay,
  )
  return GAN(game.init, (discriminator, generator), game.sample)


def absolute_error(fake: Array, truth: Array) -> Array:
  """The distance of each entry, |fake - truth|: L1."""
  return jnp.abs(fake - truth)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Game:
  """The networks and weights, and the functions that they make.

  Compared by identity, as closures would be: a static argument of jit.
  """

  generator: UNet
  discriminator: PatchDiscriminator
  resolution: int
  loss: losses.AdversarialLoss
  reconstruction: Reconstruction
  reconstruction_weight: float
  sampling_noise: bool
  axis_name: str | None

  def init(self, key: PRNGKeyArray, batch: Batch) -> dict[str, Variables]:
    x, y = self._pair(batch)
    keys = [jax.random.fold_in(key, i) for i in range(2)]
    generator = self.generator.init(keys[0], x, None, train=True)
    seen = jnp.concatenate([x, y], -1)
    discriminator = self.discriminator.init(keys[1], seen, train=True)
    return {'generator': generator, 'discriminator': discriminator}

  def sample(
    self, variables: Mapping[str, Variables], batch: Batch, key: PRNGKeyArray
  ) -> Images:
    if 'x' not in batch:
      raise ValueError(f"pix2pix: to sample needs 'x', got {sorted(batch)}.")
    keys = self._noise(batch, key) if self.sampling_noise else None
    return self.generator.apply(
      variables['generator'], batch['x'], keys, train=False
    )

  def discriminator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    fake, _ = self._translate(variables, batch, key)
    real, fake, mutated = self._judge(variables, batch, fake)
    loss = self.loss.discriminator(real, fake).mean() / 2
    return LossOutput(loss, mutated, logit_metrics(real, fake))

  def generator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    fake, mutated = self._translate(variables, batch, key)
    logits = self._judge(variables, batch, fake)[:2]
    terms = {
      'adversarial': self.loss.generator(*logits).mean(),
      'reconstruction': self.reconstruction(fake, batch['y']).mean(),
    }
    weighted = self.reconstruction_weight * terms['reconstruction']
    return LossOutput(terms['adversarial'] + weighted, mutated, terms)

  def _translate(self, variables, batch, key):
    return self.generator.apply(
      variables['generator'],
      batch['x'],
      self._noise(batch, key),
      train=True,
      mutable=_COLLECTIONS,
    )

  def _noise(self, batch, key):
    return sharding.example_keys(jax.random.fold_in(key, _NOISE), batch)

  def _judge(self, variables, batch, fake):
    """Logits of reals and of fakes, and the discriminator's collections."""
    own, x = variables['discriminator'], batch['x']
    # From the same collections, each call with statistics of its own.
    (real, one), (fake, other) = (
      self.discriminator.apply(
        own, jnp.concatenate([x, y], -1), train=True, mutable=_COLLECTIONS
      )
      for y in (batch['y'], fake)
    )
    # Of the whole batch: some losses compare its examples.
    real, fake = (sharding.gathered(x, self.axis_name) for x in (real, fake))
    return real, fake, gradients.merged([one, other])

  def _pair(self, batch):
    if missing := {'x', 'y'} - set(batch):
      raise ValueError(
        "pix2pix: the batch needs 'x' and 'y', inputs and their translations; "
        f'{" and ".join(sorted(missing))} missing, got {sorted(batch)}.'
      )
    x, y = batch['x'], batch['y']
    side, channels = self.resolution, self.generator.channels
    fits = x.ndim == y.ndim == 4
    if not fits or (*x.shape[1:3], *y.shape[1:]) != (side,) * 4 + (channels,):
      raise ValueError(
        f'pix2pix: needs x of [n, {side}, {side}, any] and y of [n, {side}, '
        f'{side}, {channels}], got {list(x.shape)} and {list(y.shape)}.'
      )
    return x, y


def normalised(
  batch_norm: bool,
  train: bool,
  dtype: DTypeLike,
  axis_name: str | None,
  x: Images,
) -> Images:
  """What a layer's normalisation makes of `x`, within a compact module."""
  if not batch_norm:
    return InstanceNorm(scale_init=_scale_init, dtype=dtype)(x)
  norm = BatchNorm(
    0.9, scale_init=_scale_init, dtype=dtype, axis_name=axis_name
  )
  return norm(x, use_running_average=not train)


def _depth(resolution: int, depth: int | None) -> int:
  """The halvings of a U-Net. ValueError: the resolution does not fit them."""
  if depth is None:
    if resolution < 4 or resolution.bit_count() > 1:
      raise ValueError(
        'pix2pix: without a depth the resolution must be a power of two of at '
        f'least 4, got {resolution}.'
      )
    return resolution.bit_length() - 1
  if depth < 1 or resolution < 1 or resolution % (1 << depth):
    raise ValueError(
      f'pix2pix: the resolution must be a multiple of 2**depth, for a depth of '
      f'1 or more, got {resolution=}, {depth=}.'
    )
  return depth


def _dropped(x, keys, rate):
  """Dropout, of each example by its own key."""

  def one(x, key):
    kept = jax.random.bernoulli(key, 1 - rate, (x.size,))
    return jnp.where(kept.reshape(x.shape), x / (1 - rate), 0)

  return jax.vmap(one)(x, keys)


def _conv(features, stride, dtype, use_bias=True):
  return nn.Conv(
    features,
    (4, 4),
    (stride, stride),
    padding=1,
    use_bias=use_bias,
    kernel_init=_normal,
    dtype=dtype,
    conv_general_dilated=conv2d,
  )


def _grow(features, dtype, use_bias=True):
  return ConvTranspose(
    features,
    (4, 4),
    (2, 2),
    use_bias=use_bias,
    kernel_init=_normal,
    dtype=dtype,
  )


def _scale_init(key, shape, dtype=jnp.float32):
  return 1 + _normal(key, shape, dtype)
