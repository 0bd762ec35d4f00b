"""CycleGAN: translation between two kinds of pictures, without pairs.

Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks, 2017 (https://arxiv.org/abs/1703.10593). G translates x to
y, F translates y to x; a discriminator for each domain judges patches of 70x70
pixels by squared errors; there and back again must give the picture that one
started from, 10 times the mean absolute error of which both descend. The
translators are residual: a 7x7 convolution, two of stride 2, nine blocks at a
quarter of the resolution (the paper has six up to 128 pixels), two transposed
convolutions and a last 7x7, with reflections for borders and instance
normalisation. Discriminators learn from a pool of 50 earlier fakes, and descend
half of their loss. Weights from N(0, .02), Adam at 2e-4 with b1 = .5, batches
of one.

Differences: the discriminators move before the translators; instance
normalisation has a scale and a bias, as in the authors' first code, in Lua, and
not in their PyTorch; an optional average of the translators' params to sample
from.
"""

import dataclasses
import functools
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jgan import initializers, losses, sharding
from jgan.convolutions import conv2d
from jgan.gan import GAN, Batch, LossOutput, Player, Variables
from jgan.layers import ConvTranspose, InstanceNorm
from jgan.models.pix2pix import PatchDiscriminator, absolute_error

Images = Float[Array, 'n h w c']

_POOL = 0  # and 1: folded into a move's key, for the fakes of x and of y
_normal = initializers.normal(0.02)

squared_errors = losses.AdversarialLoss(
  generator=lambda real, fake: 2 * losses.least_squares.generator(real, fake),
  discriminator=lambda real, fake: (
    2 * losses.least_squares.discriminator(real, fake)
  ),
)
"""Least squares as CycleGAN counts them, without the halves of Mao et al.; the
cycle's weight of 10 is beside these."""


class Translator(nn.Module):
  """Pictures to pictures in [-1, 1] of the same height and width.

  A side that is no multiple of 4 comes out as the next multiple.

  Attributes:
    channels: of the result.
    blocks: residual blocks at a quarter of the resolution.
    width: channels at the resolution; twice as many at half of it, four times
      at a quarter.
    dtype: of the computation; params and pictures are float32.
  """

  channels: int
  blocks: int = 9
  width: int = 64
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: Images) -> Float[Array, 'n h w d']:
    def norm_relu(x):
      return nn.relu(InstanceNorm(dtype=self.dtype)(x))

    conv = functools.partial(_conv, dtype=self.dtype)
    x = norm_relu(conv(self.width, 7)(_reflected(x.astype(self.dtype), 3)))
    # 'SAME' on both ways, so that a pixel comes back to its place: the mirror
    # image of the authors' layers, which pad on the other side.
    for i in (1, 2):
      x = norm_relu(conv(self.width << i, 3, stride=2, padding='SAME')(x))
    for _ in range(self.blocks):
      y = norm_relu(conv(self.width << 2, 3)(_reflected(x, 1)))
      y = conv(self.width << 2, 3)(_reflected(y, 1))
      x += InstanceNorm(dtype=self.dtype)(y)
    for i in (1, 0):
      grow = ConvTranspose(
        self.width << i,
        (3, 3),
        (2, 2),
        use_bias=False,
        kernel_init=_normal,
        dtype=self.dtype,
      )
      x = norm_relu(grow(x))
    x = conv(self.channels, 7, use_bias=True)(_reflected(x, 3))
    return jnp.tanh(x.astype(jnp.float32))


class Translators(nn.Module):
  """Both directions: the generator's side.

  Attributes:
    to_y: G, from x to y.
    to_x: F, from y to x.
  """

  to_y: nn.Module
  to_x: nn.Module

  def __call__(
    self, x: Images | None, y: Float[Array, 'n h w d'] | None
  ) -> tuple[Float[Array, 'n h w d'] | None, Images | None]:
    """G(x) and F(y); None of None."""
    return (
      None if x is None else self.to_y(x),
      None if y is None else self.to_x(y),
    )


class Discriminators(nn.Module):
  """Both domains' discriminators.

  Attributes:
    of_x: judges pictures of the first domain.
    of_y: judges those of the second.
  """

  of_x: nn.Module
  of_y: nn.Module

  def __call__(
    self, x: Images, y: Float[Array, 'n h w d'], *, train: bool
  ) -> tuple[Float[Array, 'n p q'], Float[Array, 'n p q']]:
    return self.of_x(x, train=train), self.of_y(y, train=train)


def cyclegan(
  x_channels: int = 3,
  y_channels: int = 3,
  *,
  blocks: int = 9,
  width: int = 64,
  discriminator_width: int = 64,
  layers: int = 3,
  loss: losses.AdversarialLoss = squared_errors,
  cycle_weight: float = 10.0,
  identity_weight: float = 0.0,
  pool_size: int = 50,
  learning_rate: optax.ScalarOrSchedule = 2e-4,
  b1: float = 0.5,
  ema_decay: float | None = None,
  dtype: DTypeLike = jnp.float32,
  axis_name: str | None = None,
) -> GAN:
  """The translation without pairs of Zhu et al.

  The batch has as many examples of each domain, 'x' `[n, h, w, x_channels]` and
  'y' `[n, h, w, y_channels]`, in [-1, 1]; which of them stand together means
  nothing. The pool of earlier fakes is the discriminator's collection 'pool'.

  Samples are a mapping: of `batch['x']` 'fake_y', its translation, and
  'cycle_x', that back again; of `batch['y']` 'fake_x' and 'cycle_y'. One of
  the two may be missing. Metrics of the generator: 'adversarial', 'cycle' and,
  with its weight, 'identity', each summed over both domains and before its
  weight; of the discriminator: 'adversarial_x' and 'adversarial_y', the halved
  losses, and 'accuracy', the share of patches in which the real's logit is the
  larger.

  Args:
    x_channels: of the first domain's pictures.
    y_channels: of the second's.
    blocks: residual blocks of each translator.
    width: each translator's channels at the resolution.
    discriminator_width: of each discriminator at half of it.
    layers: halvings of each discriminator, by which its patches have 16, 34,
      70, 142 pixels (1 to 4).
    loss: the adversarial pair.
    cycle_weight: lambda, of the mean absolute errors of there and back again.
    identity_weight: of the mean absolute errors |G(y) - y| and |F(x) - x|, as a
      share of `cycle_weight`: the paper's .5 keeps the colours of paintings,
      and is the default of the authors' PyTorch code.
    pool_size: earlier fakes kept for each discriminator, 1 or more.
    learning_rate: Adam's, of both players, or a schedule of their moves.
    b1: Adam's decay of the first moment.
    ema_decay: of the averaged translators; None keeps none, as the paper.
    dtype: of the computation.
    axis_name: under pmap and shard_map, the axis over the devices.

  Returns:
    A `GAN` with players 'discriminator' and 'generator', two networks each.

  Raises:
    ValueError: if there is an identity weight and the domains differ in
      channels, or no room in the pool; from `init`, where the batch has other
      pictures, sides that are no multiples of 4 from 8 on, or too small ones
      for the discriminators.

  >>> import jax, jax.numpy as jnp
  >>> gan = cyclegan(1, 3, blocks=1, width=4, layers=1, discriminator_width=4)
  >>> batch = {'x': jnp.zeros((2, 8, 8, 1)), 'y': jnp.zeros((2, 8, 8, 3))}
  >>> state = jgan.init(gan, jax.random.key(0), batch)
  >>> samples = jgan.sample(gan, state, batch, jax.random.key(1))
  >>> {name: x.shape[-1] for name, x in sorted(samples.items())}
  {'cycle_x': 1, 'cycle_y': 3, 'fake_x': 1, 'fake_y': 3}
  """
  losses.check_pair('cyclegan', loss)
  if identity_weight and x_channels != y_channels:
    raise ValueError(
      'cyclegan: an identity loss needs domains of as many channels, got '
      f'{x_channels} and {y_channels} with {identity_weight=}.'
    )
  if pool_size < 1:
    raise ValueError(f'cyclegan: pool_size must be 1 or more, got {pool_size}.')

  def discriminator():
    return PatchDiscriminator(
      layers, discriminator_width, batch_norm=False, dtype=dtype
    )

  game = _Game(
    generator=Translators(
      Translator(y_channels, blocks, width, dtype),
      Translator(x_channels, blocks, width, dtype),
    ),
    discriminator=Discriminators(discriminator(), discriminator()),
    channels=(x_channels, y_channels),
    loss=loss,
    cycle_weight=cycle_weight,
    identity_weight=identity_weight,
    pool_size=pool_size,
    axis_name=axis_name,
  )
  first = Player(
    'discriminator', game.discriminator_loss, optax.adam(learning_rate, b1=b1)
  )
  second = Player(
    'generator',
    game.generator_loss,
    optax.adam(learning_rate, b1=b1),
    ema_decay=ema_decay,
  )
  return GAN(game.init, (first, second), game.sample)


def exchanged(
  pool: Float[Array, 'size *axes'],
  count: Int[Array, ''],
  fakes: Float[Array, 'n *axes'],
  keep: Bool[Array, 'n'],
  slot: Int[Array, 'n'],
  axis_name: str | None = None,
) -> tuple[Float[Array, 'n *axes'], Float[Array, 'size *axes'], Int[Array, '']]:
  """What a discriminator is shown of new fakes and a pool of earlier ones.

  One fake after the other: while the pool is not full, it takes the fake, which
  is shown. Afterwards a fake that is to be kept takes the place of an earlier
  one, which is shown in its stead; any other is shown, and the pool stays.

  Args:
    pool: earlier fakes; what lies beyond `count` is no fake yet.
    count: how many there are.
    fakes: new ones.
    keep: whether each is to be kept where the pool is full.
    slot: whose place it then takes, from 0 on below the pool's size.
    axis_name: the axis of `jax.shard_map`, within it.

  Returns:
    What is shown, the pool, and how many fakes it holds.

  References:
    Shrivastava et al., Learning from Simulated and Unsupervised Images through
    Adversarial Training, 2017, section 2.3 (https://arxiv.org/abs/1612.07828);
    by single pictures as in Zhu et al., 2017, section 4.
  """
  size, n = len(pool), len(fakes)

  # Only numbers of pictures move from step to step, not the pictures.
  def one(carry, entry):
    held, count = carry
    fake, keep, slot = entry
    full = count >= size
    slot = jnp.where(full, slot, count)
    replaces = full & keep
    shown = jnp.where(replaces, held[slot], fake)
    held = held.at[slot].set(jnp.where(full & ~keep, held[slot], fake))
    return (held, jnp.minimum(count + 1, size)), shown

  numbers = jnp.arange(size + n, dtype=jnp.int32)
  start = sharding.varying((numbers[:size], count), axis_name)
  (held, count), shown = lax.scan(one, start, (numbers[size:], keep, slot))
  pictures = jnp.concatenate([pool, fakes])
  return pictures[shown], pictures[held], count


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Game:
  """The networks and weights, and the functions that they make.

  Compared by identity, as closures would be: a static argument of jit.
  """

  generator: Translators
  discriminator: Discriminators
  channels: tuple[int, int]
  loss: losses.AdversarialLoss
  cycle_weight: float
  identity_weight: float
  pool_size: int
  axis_name: str | None

  def init(self, key: PRNGKeyArray, batch: Batch) -> dict[str, Variables]:
    x, y = self._domains(batch)
    keys = [jax.random.fold_in(key, i) for i in range(2)]
    pool = {
      name: {
        'fakes': jnp.zeros((self.pool_size, *image.shape[1:]), jnp.float32),
        'count': jnp.zeros((), jnp.int32),
      }
      for name, image in (('x', x), ('y', y))
    }
    discriminator = self.discriminator.init(keys[1], x, y, train=True)
    return {
      'generator': self.generator.init(keys[0], x, y),
      'discriminator': {**discriminator, 'pool': pool},
    }

  def sample(
    self, variables: Mapping[str, Variables], batch: Batch, key: PRNGKeyArray
  ) -> dict[str, Images]:
    x, y = batch.get('x'), batch.get('y')
    if x is None and y is None:
      raise ValueError(
        f"cyclegan: to sample needs 'x', 'y' or both, got {sorted(batch)}."
      )
    fake_y, fake_x = self._translate(variables, x, y)
    cycle_y, cycle_x = self._translate(variables, fake_x, fake_y)
    made = {
      'fake_y': fake_y,
      'cycle_x': cycle_x,
      'fake_x': fake_x,
      'cycle_y': cycle_y,
    }
    return {name: image for name, image in made.items() if image is not None}

  def discriminator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    fake_y, fake_x = self._translate(variables, batch['x'], batch['y'])
    pool = variables['discriminator']['pool']
    shown_x, pool_x = self._shown(pool['x'], fake_x, batch, key, _POOL)
    shown_y, pool_y = self._shown(pool['y'], fake_y, batch, key, _POOL + 1)
    real = self._judge(variables, batch['x'], batch['y'])
    fake = self._judge(variables, shown_x, shown_y)
    x, y = (
      self.loss.discriminator(*logits).mean() / 2
      for logits in zip(real, fake, strict=True)
    )
    right = [(a > b).mean() for a, b in zip(real, fake, strict=True)]
    said = {'adversarial_x': x, 'adversarial_y': y, 'accuracy': sum(right) / 2}
    return LossOutput(x + y, {'pool': {'x': pool_x, 'y': pool_y}}, said)

  def generator_loss(
    self,
    variables: Mapping[str, Variables],
    batch: Batch,
    key: PRNGKeyArray,
    step: Array,
  ) -> LossOutput:
    x, y = batch['x'], batch['y']
    fake_y, fake_x = self._translate(variables, x, y)
    real = self._judge(variables, x, y)
    fake = self._judge(variables, fake_x, fake_y)
    adversarial = [
      self.loss.generator(*logits).mean()
      for logits in zip(real, fake, strict=True)
    ]
    cycle_y, cycle_x = self._translate(variables, fake_x, fake_y)
    cycle = _distance(cycle_x, x) + _distance(cycle_y, y)
    terms = {'adversarial': sum(adversarial), 'cycle': cycle}
    loss = terms['adversarial'] + self.cycle_weight * cycle
    if self.identity_weight:
      same_y, same_x = self._translate(variables, y, x)
      identity = _distance(same_x, x) + _distance(same_y, y)
      terms['identity'] = identity
      loss += self.cycle_weight * self.identity_weight * identity
    return LossOutput(loss, {}, terms)

  def _translate(self, variables, x, y):
    return self.generator.apply(variables['generator'], x, y)

  def _judge(self, variables, x, y):
    """Logits of both domains, of the whole batch: some losses compare them."""
    own = {'params': variables['discriminator']['params']}
    logits = self.discriminator.apply(own, x, y, train=True)
    return [sharding.gathered(each, self.axis_name) for each in logits]

  def _shown(self, pool, fakes, batch, key, use):
    """What a discriminator is shown for its fakes, and its pool after that."""
    key = jax.random.fold_in(key, use)
    keys = sharding.example_keys(key, batch)
    keep, slot = jax.vmap(self._draw)(sharding.gathered(keys, self.axis_name))
    shown, kept, count = exchanged(
      pool['fakes'],
      pool['count'],
      sharding.gathered(fakes, self.axis_name),
      keep,
      slot,
      self.axis_name,
    )
    return self._own(shown, len(fakes)), {'fakes': kept, 'count': count}

  def _draw(self, key):
    """Whether a fake is to be kept, and where."""
    keys = [jax.random.fold_in(key, i) for i in range(2)]
    keep = jax.random.bernoulli(keys[0])
    return keep, jax.random.randint(keys[1], (), 0, self.pool_size)

  def _own(self, x, n):
    """This device's n rows of all."""
    if self.axis_name is None:
      return x
    return lax.dynamic_slice_in_dim(x, n * lax.axis_index(self.axis_name), n)

  def _domains(self, batch):
    if missing := {'x', 'y'} - set(batch):
      raise ValueError(
        "cyclegan: the batch needs 'x' and 'y', pictures of both domains; "
        f'{" and ".join(sorted(missing))} missing, got {sorted(batch)}.'
      )
    images = batch['x'], batch['y']
    for name, image, channels in zip('xy', images, self.channels, strict=True):
      shape = list(image.shape)
      sides = shape[1:3]
      if len(shape) != 4 or shape[3] != channels:
        raise ValueError(
          f'cyclegan: {name} needs pictures of [n, height, width, {channels}], '
          f'got {shape}.'
        )
      if min(sides) < 8 or any(side % 4 for side in sides):
        raise ValueError(
          f'cyclegan: sides must be multiples of 4 from 8 on, got {name} of '
          f'{shape}.'
        )
    if images[0].shape[:3] != images[1].shape[:3]:
      raise ValueError(
        'cyclegan: x and y need the same height and width, got '
        f'{list(images[0].shape)} and {list(images[1].shape)}.'
      )
    return images


def _distance(a, b):
  return absolute_error(a, b).mean()


def _reflected(x, margin):
  sides = (margin, margin), (margin, margin), (0, 0)
  # Picture by picture: jax 0.7 reflects none where their number is a symbol.
  return jax.vmap(lambda one: jnp.pad(one, sides, mode='reflect'))(x)


def _conv(features, size, dtype, stride=1, padding=0, use_bias=False):
  return nn.Conv(
    features,
    (size, size),
    (stride, stride),
    padding=padding,
    use_bias=use_bias,
    kernel_init=_normal,
    dtype=dtype,
    conv_general_dilated=conv2d,
  )
