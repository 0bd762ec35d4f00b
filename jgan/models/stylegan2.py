r"""StyleGAN2: a latent mapped to styles, which modulate every convolution.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020
(https://arxiv.org/abs/1912.04958). The mapping network turns a latent z into w;
each layer of the synthesis network scales the channels of its kernel by an
affine function of w and takes out the result's expected deviation; noise is
added at every layer; pictures are summed up over the sizes. The discriminator
is residual, and sees how much its batch varies. R1 every 16 steps and the path
length every 4 are moves of their own, at optimizers rescaled for them.

Differences: a layer's kernel is shared by the batch, and its input and output
are scaled instead, which is the same function (appendix B); the noise of
samples is the same in all, drawn once at the start, so that a sample depends on
its latent alone; beyond the edges of a picture there are zeros, also for the
filters; styles are mixed by latents that differ by layer (`mixing`); the
discriminator's embedding of the label is one layer, where the authors' is a
mapping network; the path length is of the whole batch, in place of half of it,
whose styles are not mixed, and its running mean has no gradient; the running
mean of w moves once in a step, with the decay .998 of the authors' StyleGAN3,
in place of .995; with an augmentation R1's slope is that at the augmented
picture, where theirs is at the picture before it.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jgan import losses, penalties, schedules, sharding
from jgan.convolutions import conv2d, conv_transpose, pointwise
from jgan.gan import GAN, LossOutput, Player
from jgan.initializers import normal
from jgan.latents import Latent
from jgan.layers import one_hot
from jgan.standard import standard_gan

Images = Float[Array, 'n h w c']

_W_DECAY = 0.998  # of the running mean of w
_PATH_DECAY = 0.99  # of the running mean of path lengths


class Dense(nn.Module):
  """A layer whose params are all of size 1, scaled where they are used.

  Adam's steps, of one size for all params, are then as large in proportion.

  Attributes:
    features: of the result.
    rate: the learning rate's factor for this layer.
    bias: where the bias starts.
    use_bias: add one.
  """

  features: int
  rate: float = 1.0
  bias: float = 0.0
  use_bias: bool = True

  @nn.compact
  def __call__(self, x: Float[Array, '*n d']) -> Float[Array, '*n k']:
    shape = (x.shape[-1], self.features)
    kernel = self.param('kernel', normal(1 / self.rate), shape)
    y = x @ (kernel * self.rate / math.sqrt(shape[0])).astype(x.dtype)
    if self.use_bias:
      start = nn.initializers.constant(self.bias / self.rate)
      bias = (
        self.param('bias', start, (self.features,), jnp.float32) * self.rate
      )
      y += lax.broadcast_in_dim(bias.astype(y.dtype), y.shape, (y.ndim - 1,))
    return y


class Conv(nn.Module):
  """A convolution with params of size 1, as of `Dense`; halves if told to.

  Attributes:
    features: of the result.
    size: of the kernel.
    half: blur, and keep every other pixel.
    use_bias: add a bias, started at 0.
  """

  features: int
  size: int
  half: bool = False
  use_bias: bool = True

  @nn.compact
  def __call__(self, x: Images) -> Float[Array, 'n a b k']:
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param('kernel', normal(1.0), shape)
    kernel = (kernel / math.sqrt(math.prod(shape[:3]))).astype(x.dtype)
    y = _halved(x, kernel) if self.half else _same(x, kernel)
    if self.use_bias:
      bias = self.param(
        'bias', nn.initializers.zeros, (self.features,), jnp.float32
      )
      y += bias.astype(y.dtype)[None, None, None]
    return y


class ModulatedConv(nn.Module):
  """A convolution whose kernel a style scales, and that demodulates.

  .. math::
    w'_{ijk} = s_i w_{ijk}, \\quad
    w''_{ijk} = w'_{ijk} / \\sqrt{\\sum_{i,k} w'^2_{ijk} + \\epsilon}

  for input channels i, output channels j and taps k (equations 1 and 3).

  Attributes:
    features: of the result.
    size: of the kernel.
    double: grow the picture to twice its size, and blur.
    demodulate: the second equation; not where pictures are made.
  """

  features: int
  size: int
  double: bool = False
  demodulate: bool = True

  @nn.compact
  def __call__(
    self, x: Images, w: Float[Array, 'n d']
  ) -> Float[Array, 'n a b k']:
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param('kernel', normal(1.0), shape)
    style = Dense(x.shape[-1], bias=1.0, name='style')(w)
    if not self.demodulate:
      style /= math.sqrt(math.prod(shape[:3]))
    y = x * style.astype(x.dtype)[:, None, None]
    kernel_now = kernel.astype(x.dtype)
    if self.demodulate:  # keeps numbers small in half precision
      kernel_now /= math.sqrt(math.prod(shape[:3]))
    y = _doubled(y, kernel_now) if self.double else _same(y, kernel_now)
    if not self.demodulate:
      return y
    power = (style**2) @ (kernel**2).mean((0, 1)) / x.shape[-1]
    scale = lax.rsqrt(power + 1e-8)
    return y * scale.astype(y.dtype)[:, None, None]


class SynthesisLayer(nn.Module):
  """A modulated convolution, noise, bias and leaky ReLU.

  Attributes:
    features: of the result.
    double: grow the picture to twice its size.
  """

  features: int
  double: bool = False

  @nn.compact
  def __call__(
    self, x: Images, w: Float[Array, 'n d'], train: bool
  ) -> Float[Array, 'n a b k']:
    y = ModulatedConv(self.features, 3, self.double)(x, w)
    shape = (1, *y.shape[1:3], 1)
    fixed = self.variable(
      'noise', 'fixed', lambda: normal(1.0)(self.make_rng('params'), shape)
    )
    strength = self.param(
      'noise_strength', nn.initializers.zeros, (), jnp.float32
    )
    noise = fixed.value
    if train:
      noise = normal(1.0)(self.make_rng('noise'), (y.shape[0], *shape[1:]))
      # XLA would take the strength into the draw where it has no gradient, and
      # then could not make one forward of two moves'.
      noise = lax.optimization_barrier(noise)
    y += (strength * noise).astype(y.dtype)
    bias = self.param(
      'bias', nn.initializers.zeros, (self.features,), jnp.float32
    )
    return _activated(y + bias.astype(y.dtype)[None, None, None])


class Generator(nn.Module):
  """Latents, and labels where there are classes, to pictures.

  Pictures have no bounds; data lie in [-1, 1]. Collections: 'w_mean', the
  running mean of w; 'noise', that of samples.

  Attributes:
    channels: of the picture.
    widths: channels at 4x4, 8x8, ... up to the resolution.
    w_dim: entries of w.
    depth: layers of the mapping network.
    num_classes: of the labels; None ignores labels.
    truncation: how far a sample's w lies from the mean, as a share of what the
      mapping network says; 1 for all of it.
    dtype: of the synthesis beyond 8x8; params and pictures are float32.
    axis_name: of pmap or shard_map, for the mean of w of all devices.
  """

  channels: int
  widths: Sequence[int]
  w_dim: int = 512
  depth: int = 8
  num_classes: int | None = None
  truncation: float = 1.0
  dtype: DTypeLike = jnp.float32
  axis_name: str | None = None

  @property
  def layers(self) -> int:
    """How many convolutions a w, or one w each, goes to, pictures' included."""
    return 2 * len(self.widths)

  @nn.compact
  def __call__(
    self,
    latent: Float[Array, 'n *l z'],
    label: Int[Array, 'n'] | None,
    *,
    train: bool,
    w_offset: Float[Array, 'n k e'] | None = None,
  ) -> Float[Array, 'n h w c']:
    """Makes pictures; `w_offset` is added to each layer's w."""
    if latent.ndim == 2:
      w = self._map(latent, label, train)[:, None]
      w = jnp.broadcast_to(w, (w.shape[0], self.layers, w.shape[-1]))
    else:
      w = self._map(latent, label, train)
    if w_offset is not None:
      w += w_offset
    return self._synthesize(w, train)

  def _map(self, z, label, train):
    """w of each latent, or of each layer's."""
    x = _unit(z.astype(jnp.float32))
    if self.num_classes is not None:
      classes = one_hot(label, self.num_classes)
      embedded = _unit(Dense(self.w_dim, name='embed')(classes))
      if x.ndim == 3:
        embedded = embedded[:, None].repeat(x.shape[1], 1)
      x = jnp.concatenate([x, embedded], -1)
    for i in range(self.depth):
      x = _activated(Dense(self.w_dim, rate=0.01, name=f'map_{i}')(x))
    mean = self.variable(
      'w_mean', 'mean', jnp.zeros, (self.w_dim,), jnp.float32
    )
    if train and not self.is_initializing():
      now = lax.stop_gradient(x.reshape(-1, self.w_dim).mean(0))
      now = sharding.mean(now, self.axis_name)
      mean.value = _W_DECAY * mean.value + (1 - _W_DECAY) * now
    if train or self.truncation == 1:
      return x
    centre = lax.broadcast_in_dim(mean.value, x.shape, (x.ndim - 1,))
    return centre + self.truncation * (x - centre)

  def _synthesize(self, w, train):
    first = self.widths[0]
    start = self.param('constant', normal(1.0), (4, 4, first))
    x = jnp.broadcast_to(start[None], (w.shape[0], *start.shape))
    x = SynthesisLayer(first)(x, w[:, 0], train)
    picture = self._picture(x, w[:, 1])
    for i, features in enumerate(self.widths[1:], 1):
      x = x.astype(self.dtype if i > 1 else jnp.float32)
      x = SynthesisLayer(features, double=True)(x, w[:, 2 * i - 1], train)
      x = SynthesisLayer(features)(x, w[:, 2 * i], train)
      picture = upsample(picture) + self._picture(x, w[:, 2 * i + 1])
    return picture

  def _picture(self, x, w):
    y = ModulatedConv(self.channels, 1, demodulate=False)(x, w)
    bias = self.param(
      f'picture_bias_{x.shape[1]}',
      nn.initializers.zeros,
      (self.channels,),
      jnp.float32,
    )
    return y.astype(jnp.float32) + bias[None, None, None]


class Discriminator(nn.Module):
  """Pictures, and labels where there are classes, to logits.

  Attributes:
    widths: channels at 4x4, 8x8, ... up to the resolution.
    residual: add to each block its input, halved; the `cifar` preset does not.
    group: examples among which the deviation is taken, at most; divides the
      batch, or the batch it.
    num_classes: of the labels; None ignores labels.
    dtype: of the computation beyond 8x8; params and logits are float32.
  """

  widths: Sequence[int]
  residual: bool = True
  group: int = 4
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
    x = _activated(Conv(self.widths[-1], 1)(image.astype(self.dtype)))
    for i in range(len(self.widths) - 1, 0, -1):
      x = x.astype(self.dtype if i > 1 else jnp.float32)
      y = _activated(Conv(self.widths[i], 3)(x))
      y = _activated(Conv(self.widths[i - 1], 3, half=True)(y))
      if self.residual:
        skip = Conv(self.widths[i - 1], 1, half=True, use_bias=False)(x)
        y = (y + skip) / math.sqrt(2)
      x = y
    x = x.astype(jnp.float32)
    x = jnp.concatenate([x, minibatch_deviation(x, self.group)], -1)
    x = _activated(Conv(self.widths[0], 3)(x))
    x = _activated(Dense(self.widths[0])(x.reshape(x.shape[0], -1)))
    if self.num_classes is None:
      return Dense(1)(x)[:, 0]
    x = Dense(self.widths[0])(x)
    embedded = Dense(self.widths[0])(one_hot(label, self.num_classes))
    return (x * _unit(embedded)).mean(-1) * math.sqrt(x.shape[-1])


def minibatch_deviation(x: Images, group: int) -> Float[Array, 'n h w 1']:
  """How much the examples of a group differ, as one more channel.

  The deviation over the group of each entry, averaged over all entries.
  Examples i, i + n / g, i + 2 n / g, ... are a group, so that it lies across
  devices only where the batch has fewer groups than they.

  Raises:
    ValueError: if the group does not divide the batch.
  """
  n, h, w, c = x.shape
  group = min(group, n)
  if n % group:
    raise ValueError(
      f'minibatch_deviation: a batch of {n} does not divide into groups of '
      f'{group}.'
    )
  grouped = x.reshape(group, n // group, h * w * c)
  variance = grouped.var(0)
  deviation = jnp.sqrt(variance + 1e-8).mean(-1)
  spread = jnp.tile(deviation, group)
  return jnp.broadcast_to(spread[:, None, None, None], (n, h, w, 1))


def mixing(size: int, layers: int, probability: float = 0.9) -> Latent:
  """Latents that change, often, from one layer to the next: style mixing.

  Args:
    size: entries of a latent; the result is float32 `[layers, size]`, for each
      layer a latent.
    layers: `Generator.layers`.
    probability: that there are two latents, one up to a random layer and the
      other from there on; else all are one.
  """

  def draw(key):
    keys = [jax.random.fold_in(key, i) for i in range(3)]
    one, other = jax.random.normal(keys[0], (2, size))
    change = jax.random.randint(keys[1], (), 1, layers)
    mixed = jax.random.uniform(keys[2]) < probability
    before = (jnp.arange(layers) < change) | ~mixed
    return jnp.where(before[:, None], one[None], other[None])

  return draw


def stylegan2(
  resolution: int = 32,
  channels: int = 3,
  *,
  num_classes: int | None = None,
  widths: Sequence[int] | None = None,
  latent_dim: int = 512,
  w_dim: int = 512,
  depth: int = 8,
  mix: float = 0.9,
  truncation: float = 1.0,
  residual: bool = True,
  group: int = 4,
  learning_rate: float = 2e-3,
  gamma: float = 10.0,
  penalty_every: int = 16,
  path_weight: float = 2.0,
  path_every: int = 4,
  batch_size: int = 32,
  half_life: int = 10_000,
  ramp_up: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
  **options: Any,
) -> GAN:
  """The style-based GAN of Karras et al.

  The `cifar` preset is `depth=2, mix=0, residual=False, group=32,
  learning_rate=2.5e-3, gamma=0.01, path_weight=0, batch_size=64,
  half_life=500_000, ramp_up=0.05`. The authors' rescales the generator's Adam
  as if it had a path length, to a rate of 2e-3; here it moves at 2.5e-3.

  Args:
    resolution: height and width of the pictures, a power of two from 8 on;
      `batch['image']` is `[n, resolution, resolution, channels]` in [-1, 1].
    channels: of the pictures.
    num_classes: condition on `batch['label']`, integers from 0 on below it;
      None plays without labels.
    widths: channels at 4x4, 8x8, ... up to the resolution; None for those of
      the paper's configuration E, at most 512 and 16384 / resolution (F has
      up to twice as many).
    latent_dim: entries of a latent, standard normal.
    w_dim: entries of w.
    depth: layers of the mapping network.
    mix: probability of style mixing in training; samples have one style.
    truncation: of samples, not of training: build the GAN again with less than
      1 and sample from the same state.
    residual: of the discriminator.
    group: of `minibatch_deviation`.
    learning_rate: Adam's, of both players, with decays 0 and .99; rescaled for
      the moves of the lazy penalties.
    gamma: weight of R1, halved; the authors' 10 is for their configuration F,
      with E they take 100.
    penalty_every: steps to a move of R1.
    path_weight: of the path length; 0 plays without.
    path_every: steps to a move of the path length.
    batch_size: pictures in a step, by which the average's half-life counts.
    half_life: of the averaged generator, in images.
    ramp_up: as of `jgan.schedules.ema_half_life`.
    dtype: of the computation beyond 8x8.
    axis_name: under pmap and shard_map, the axis over the devices.
    **options: other arguments of `standard_gan`: `augment` and `tracker`.

  Returns:
    A `GAN` with players 'discriminator' (and its move 'penalty') and
    'generator' (and its move 'path_length').

  Raises:
    ValueError: if the resolution is no power of two of at least 8, or `widths`
      are not as many as it has sizes.
  """
  widths = _widths(resolution, widths)
  shared = {'num_classes': num_classes, 'dtype': dtype}
  generator = Generator(
    channels, widths, w_dim, depth, truncation=truncation,
    axis_name=axis_name, **shared,
  )  # fmt: skip
  own = _lazy_adam(learning_rate, path_every if path_weight else None)
  game = functools.partial(
    standard_gan,
    generator,
    Discriminator(widths, residual, group, **shared),
    loss=losses.non_saturating,
    generator_optimizer=own,
    discriminator_optimizer=_lazy_adam(
      learning_rate,
      # In every step the penalty is no move of its own.
      penalty_every if penalty_every > 1 else None,
    ),
    penalty=lambda critic, real, fake, keys: penalties.r1(critic, real),
    penalty_weight=gamma / 2,
    penalty_every=penalty_every,
    ema_decay=schedules.ema_half_life(half_life, batch_size, ramp_up=ramp_up),
    axis_name=axis_name,
    **options,
  )
  # Styles are mixed in training alone.
  gan, samples = (
    game(latent=mixing(latent_dim, generator.layers, probability))
    for probability in (mix, 0.0)
  )
  gan = gan._replace(sample=samples.sample)
  if not path_weight:
    return gan
  return _with_path_length(
    gan, generator, own, latent_dim, path_weight, path_every, axis_name
  )


def _with_path_length(
  gan, generator, optimizer, latent_dim, weight, every, axis_name
):
  """The game with one more move of the generator, and what it remembers."""

  def init(key, batch):
    variables = gan.init(key, batch)
    memory = {'path_length': {'mean': jnp.zeros((), jnp.float32)}}
    return {**variables, 'generator': {**variables['generator'], **memory}}

  def loss(variables, batch, key, step):
    latent_key, way_key, noise_key = (
      jax.random.fold_in(key, _PATH + i) for i in range(3)
    )
    keys = sharding.example_keys(latent_key, batch)
    z = jax.vmap(lambda k: jax.random.normal(k, (latent_dim,)))(keys)
    lengths = path_lengths(
      generator,
      variables['generator'],
      z,
      batch.get('label'),
      sharding.example_keys(way_key, batch),
      noise_key,
    )
    before = variables['generator']['path_length']['mean']
    now = sharding.mean(lax.stop_gradient(lengths.mean()), axis_name)
    mean = _PATH_DECAY * before + (1 - _PATH_DECAY) * now
    term = weight * ((lengths - mean) ** 2).mean()
    return LossOutput(
      every * term,
      {'path_length': {'mean': mean}},
      {'path_length': lengths.mean(), 'penalty': term},
    )

  path = Player('generator', loss, optimizer, every=every, move='path_length')
  return gan._replace(init=init, players=(*gan.players, path))


_PATH = 0x70617468  # and the next two, folded into the path length's key


def path_lengths(
  generator: Generator,
  variables: Any,
  latent: Float[Array, 'n d'],
  label: Int[Array, 'n'] | None,
  keys: sharding.Keys,
  noise_key: sharding.Keys,
) -> Float[Array, 'n']:
  r"""How far a picture moves with w, in a random direction of pictures.

  .. math::
    \lVert J_w^\top y \rVert_2, \quad y \sim N(0, I) / \sqrt{hw}

  the root of the mean over layers of the squared norm (equation 4, as in the
  authors' code).

  Args:
    generator: the module.
    variables: its variables.
    latent: z.
    label: of each, or None.
    keys: `[n]`, of y.
    noise_key: of the layers' noise.
  """
  offset = jnp.zeros((latent.shape[0], generator.layers, generator.w_dim))

  def pictures(offset):
    image, _ = generator.apply(
      variables, latent, label, train=True, w_offset=offset,
      rngs={'noise': noise_key}, mutable=['w_mean', 'noise'],
    )  # fmt: skip
    return image

  image, pullback = jax.vjp(pictures, offset)
  h, w = image.shape[1:3]
  noise = jax.vmap(lambda k: jax.random.normal(k, image.shape[1:]))(keys)
  (slope,) = pullback(noise / math.sqrt(h * w))
  return jnp.sqrt((slope**2).sum(-1).mean(-1) + 1e-12)


def blur(x: Images, pad: int, gain: float) -> Float[Array, 'n a b c']:
  """Filters with 1, 3, 3, 1 along both axes, zeros beyond the edges.

  Args:
    x: pictures.
    pad: zeros on each side; the size grows by twice as many, less 3.
    gain: the sum of the filter's taps along an axis.
  """
  for axis in (1, 2):
    padding = [(pad, pad) if i == axis else (0, 0) for i in range(4)]
    padded = jnp.pad(x, padding)
    size = padded.shape[axis] - 3
    taps = [lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(4)]
    x = (taps[0] + taps[3] + 3 * (taps[1] + taps[2])) * (gain / 8)
  return x


def upsample(x: Images) -> Float[Array, 'n 2*h 2*w c']:
  """Twice the size, by the filter 1, 3, 3, 1: linearly between pixels."""
  n, h, _, c = x.shape
  for axis in (1, 2):
    padding = [(1, 1) if i == axis else (0, 0) for i in range(4)]
    padded, size = jnp.pad(x, padding), x.shape[axis]
    before, after = (
      lax.slice_in_dim(padded, i, i + size, axis=axis) for i in (0, 2)
    )
    x = jnp.stack([(before + 3 * x) / 4, (3 * x + after) / 4], axis + 1)
    x = x.reshape(n, 2 * h, -1, c)
  return x


def _halved(x, kernel):
  size = kernel.shape[0]
  x = blur(x, size // 2 + 1, 1.0)
  if size == 1:
    return pointwise(x[:, ::2, ::2], kernel)
  return conv2d(x, kernel, (2, 2), 'VALID')


def _same(x, kernel):
  if kernel.shape[0] == 1:
    return pointwise(x, kernel)
  return conv2d(x, kernel)


def _doubled(x, kernel):
  """A transposed convolution of stride 2, and a blur that hides its seams."""
  h, w = x.shape[1:3]
  # A row and a column of zeros, whose own results are cut off: 2 h + 1 stay.
  padded = jnp.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)])
  y = conv_transpose(padded, kernel, (2, 2))[:, : 2 * h + 1, : 2 * w + 1]
  return blur(y, 1, 2.0)


def _activated(x):
  """Leaky ReLU that keeps the second moment of normal numbers, about."""
  return nn.leaky_relu(x, 0.2) * math.sqrt(2)


def _unit(x):
  """Each vector scaled to a mean square of 1."""
  # The root before the reshape, for XLA to make one forward of two moves'.
  return x * lax.rsqrt((x**2).mean(-1) + 1e-8)[..., None]


def _lazy_adam(rate: float, every: int | None) -> optax.GradientTransformation:
  """Adam for a player with one more move in every so many steps.

  Rates and decays are those of a move, so that a step's are as they would be
  without the additional one (Karras et al., 2020, appendix B).
  """
  share = 1.0 if every is None else every / (every + 1)
  return optax.adam(rate * share, b1=0.0, b2=0.99**share, eps=1e-8)


def _widths(resolution: int, widths: Sequence[int] | None) -> tuple[int, ...]:
  """Channels by size: at 4x4, 8x8, ... up to the resolution."""
  sizes = resolution.bit_length() - 2
  if resolution != 2 << sizes or resolution < 8:
    raise ValueError(
      'stylegan2: the resolution must be a power of two of at least 8, got '
      f'{resolution}.'
    )
  if widths is None:
    return tuple(min(512, 16384 // (4 << i)) for i in range(sizes))
  if len(widths) != sizes:
    raise ValueError(
      f'stylegan2: {resolution} pixels have {sizes} sizes, got '
      f'{len(widths)} widths.'
    )
  return tuple(widths)
