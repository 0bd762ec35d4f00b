r"""Adaptive discriminator augmentation: the pipeline, and how its p adapts.

Karras et al., Training Generative Adversarial Networks with Limited Data, 2020
(https://arxiv.org/abs/2006.06676), appendix B. Each transformation happens to a
picture with probability p, and is a differentiable function of it; at p = 0 the
pipeline is the identity, exactly. p follows from how often the discriminator is
sure of reals, inside the compiled step, and is saved with the state:

>>> augment, tracker = adaptive(bgc, batch_size=64)
>>> # jgan.standard_gan(..., augment=augment, tracker=tracker)

Differences: flips, quarter turns and integer shifts are exact, and apart from
the resampling of the other geometry; all integer shifts are equally likely;
pictures continue beyond their edges as their mirror images without end, the
edge's pixels twice, where the authors' code pads by as much as a batch needs,
with these once; p is at most 1; penalties see augmented pictures (see
`jgan.standard_gan`), where the authors' R1 is the slope at the picture before.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, PRNGKeyArray

from jgan.augment import by_moves
from jgan.sharding import Keys
from jgan.standard import Augment, Tracker

Image = Float[Array, 'h w c']
Scalar = Float[Array, '']

# Orthonormal low-pass filters of Daubechies' least asymmetric family.
_SYM6 = np.array([
  0.015404109327027373, 0.0034907120842174702, -0.11799011114819057,
  -0.048311742585633, 0.4910559419267466, 0.787641141030194,
  0.3379294217276218, -0.07263752278646252, -0.021060292512300564,
  0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
])  # fmt: skip
_SYM2 = np.array([
  -0.12940952255092145, 0.22414386804185735, 0.836516303737469,
  0.48296291314469025,
])  # fmt: skip
_DELAY = _SYM6 @ np.arange(12) / _SYM6.sum()
_MARGIN = 8  # pixels by which a picture is continued before it is resampled
_BAND_POWER = np.array([10, 1, 1, 1]) / 13  # of natural images, by octave


class Strengths(NamedTuple):
  """How likely each transformation is, as multiples of p.

  Attributes:
    flip: left to right.
    quarter_turns: by 90, 180 or 270 degrees, of square pictures.
    integer_shift: by whole pixels, up to an eighth of the side.
    scale: log-normal, deviation .2 octaves.
    rotation: by any angle, before and after the anisotropy.
    anisotropy: wider and lower or the reverse, deviation .2 octaves.
    fractional_shift: normal, deviation an eighth of the side.
    brightness: adds a normal number, deviation .2.
    contrast: multiplies by a log-normal number, deviation .5 octaves.
    luma_flip: turns light to dark and leaves the hue.
    hue: by any angle.
    saturation: log-normal, deviation 1 octave.
    image_filter: amplifies each of four octaves, deviation 1 octave.
    noise: of a half-normal deviation, .1.
    cutout: a square of half the side.
  """

  flip: float = 0.0
  quarter_turns: float = 0.0
  integer_shift: float = 0.0
  scale: float = 0.0
  rotation: float = 0.0
  anisotropy: float = 0.0
  fractional_shift: float = 0.0
  brightness: float = 0.0
  contrast: float = 0.0
  luma_flip: float = 0.0
  hue: float = 0.0
  saturation: float = 0.0
  image_filter: float = 0.0
  noise: float = 0.0
  cutout: float = 0.0


bgc = Strengths(*[1.0] * 12)
"""Blits, geometry and colour: the paper's choice for most sets."""

everything = Strengths(*[1.0] * 15)


def transform(
  image: Image,
  key: PRNGKeyArray,
  p: Scalar | float,
  strengths: Strengths = bgc,
) -> Image:
  """Sends one picture through the whole pipeline.

  Args:
    image: grey or RGB, in [-1, 1]; the result may go beyond.
    key: its own.
    p: the probability of a transformation of strength 1, in [0, 1].
    strengths: of each transformation; at 0 it is no part of the program.
  """
  stages = (_blits, _geometry, _colours, _filter, _noise, _cutout)
  for i, stage in enumerate(stages):
    image = stage(image, jax.random.fold_in(key, i), p, strengths)
  return image


def adaptive(
  strengths: Strengths = bgc,
  *,
  batch_size: int,
  target: float = 0.6,
  images: int = 500_000,
  interval: int = 4,
) -> tuple[Augment, Tracker]:
  r"""Augmentation whose p follows the discriminator's overfitting.

  The measure is :math:`r_t = E[\mathrm{sign}(D(x))]` over the reals of
  `interval` moves: 1 where the discriminator knows them all, 0 where it
  guesses. Above the target p grows, else it shrinks, so fast that it takes
  `images` reals from 0 to 1.

  Args:
    strengths: of each transformation.
    batch_size: reals in a step.
    target: of the measure.
    images: reals seen while p goes from 0 to 1.
    interval: moves between two changes of p.

  Returns:
    `augment` and `tracker`, as `standard_gan` takes them. The state's
    `variables['discriminator']['tracked']` holds 'p', the sum 'signs' of means
    since p last changed, and 'moves'.

  Raises:
    ValueError: if batch_size, images or interval is not positive.
  """
  if not all(x > 0 for x in (batch_size, images, interval)):
    raise ValueError(
      'adaptive: needs positive numbers, got '
      f'{batch_size=}, {images=}, {interval=}.'
    )
  change = batch_size * interval / images

  def augment(samples, keys, tracked):
    return per_example(strengths)(samples, keys, tracked['p'])

  def update(tracked, real_logits, fake_logits):
    moves = tracked['moves'] + 1
    signs = tracked['signs'] + jnp.sign(real_logits).mean()
    due = moves % interval == 0
    towards = jnp.sign(signs / interval - target)
    p = jnp.clip(tracked['p'] + change * towards, 0, 1)
    return {
      'p': jnp.where(due, p, tracked['p']),
      'signs': jnp.where(due, 0, signs),
      'moves': moves,
    }

  zero = jnp.zeros((), jnp.float32)
  start = {'p': zero, 'signs': zero, 'moves': jnp.int32(0)}
  return augment, Tracker(start, update)


def scheduled(
  strengths: Strengths, p: Callable[[Array], Array]
) -> tuple[Augment, Tracker]:
  """Augmentation whose p is a function of the discriminator's moves so far.

  Args:
    strengths: of each transformation.
    p: in [0, 1], such as `jgan.schedules.cosine(0, 0.55, steps)`.

  Returns:
    `augment` and `tracker`, as `standard_gan` takes them; what is tracked is
    the number of 'moves'.
  """

  def augmented(samples, keys, moves):
    return per_example(strengths)(samples, keys, p(moves))

  return by_moves(augmented)


def per_example(
  strengths: Strengths,
) -> Callable[[Float[Array, 'n h w c'], Keys, Scalar], Array]:
  """`augment(images, keys, p)`: `transform` of each picture by its own key."""

  def augment(images, keys, p):
    return jax.vmap(lambda x, k: transform(x, k, p, strengths))(images, keys)

  return augment


class _Draws:
  """The random numbers of one stage, and whether a transformation happens."""

  def __init__(self, key: PRNGKeyArray, p: Scalar | float):
    self.key, self.p, self.used = key, p, 0

  def next(self) -> PRNGKeyArray:
    self.used += 1
    return jax.random.fold_in(self.key, self.used)

  def happens(self, strength: float) -> Array:
    return jax.random.uniform(self.next()) < strength * self.p

  def uniform(self, low: float, high: float) -> Scalar:
    return jax.random.uniform(self.next(), (), jnp.float32, low, high)

  def integer(self, low: int, high: int) -> Array:
    return jax.random.randint(self.next(), (), low, high)

  def normal(self, deviation: float) -> Scalar:
    return deviation * jax.random.normal(self.next())

  def octaves(self, deviation: float) -> Scalar:
    """A factor, whose logarithm to the base 2 is normal."""
    return jnp.exp2(self.normal(deviation))


def _blits(image, key, p, strengths):
  """Flip, quarter turns and whole pixels: nothing is resampled."""
  draws = _Draws(key, p)
  if strengths.flip:
    flip = draws.happens(strengths.flip) & (draws.integer(0, 2) == 1)
    image = jnp.where(flip, image[:, ::-1], image)
  if strengths.quarter_turns:
    image = _quarter_turns(image, draws, strengths.quarter_turns)
  if strengths.integer_shift:
    happens = draws.happens(strengths.integer_shift)
    for axis in range(2):
      most = int(0.125 * image.shape[axis] + 0.5)
      shift = jnp.where(happens, draws.integer(-most, most + 1), 0)
      image = _shifted(image, shift, axis)
  return image


def _quarter_turns(image, draws, strength):
  if image.shape[0] != image.shape[1]:
    raise ValueError(
      'ada: quarter turns need square pictures, got '
      f'{list(image.shape[:2])}; set quarter_turns=0.'
    )
  turns = jnp.where(draws.happens(strength), draws.integer(0, 4), 0)
  image = jnp.where(turns >= 2, image[::-1, ::-1], image)
  return jnp.where(turns % 2 == 1, jnp.rot90(image), image)


def _shifted(image, shift, axis):
  """Rolled, but what comes in is the mirror image of what lies at the edge."""
  size = image.shape[axis]
  place = (jnp.arange(size) - shift) % (2 * size)
  place = jnp.where(place < size, place, 2 * size - 1 - place)
  return jnp.take(image, place, axis)


def _geometry(image, key, p, strengths):
  """Scaling, rotation and fractions of a pixel, in one resampling."""
  likely = strengths[3:7]
  if not any(likely):
    return image
  draws = _Draws(key, p)
  scale, rotation, anisotropy, shift = likely
  # The picture at a place is the given picture at M times that place.
  matrix, happened = jnp.eye(3), jnp.zeros((), bool)
  size, width = draws.octaves(0.2), draws.octaves(0.2)
  # Two rotations, of which at least one happens with the probability p.
  once = 1 - jnp.sqrt(1 - jnp.minimum(rotation * p, 1))
  for inverse, chance in (
    (_scaled(size, size), scale * p),
    (_rotated(draws.uniform(-math.pi, math.pi)), once),
    (_scaled(1 / width, width), anisotropy * p),
    (_rotated(draws.uniform(-math.pi, math.pi)), once),
    (_moved(draws, 0.125 * np.array(image.shape[:2])), shift * p),
  ):
    happens = jax.random.uniform(draws.next()) < chance
    matrix = jnp.where(happens, matrix @ inverse, matrix)
    happened |= happens
  return jnp.where(happened, _resampled(image, matrix), image)


def _scaled(height, width):
  """The inverse of growing by these factors."""
  return jnp.diag(jnp.stack([1 / height, 1 / width, jnp.ones(())]))


def _rotated(angle):
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  zero, one = jnp.zeros(()), jnp.ones(())
  rows = [[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]
  return jnp.stack([jnp.stack(row) for row in rows])


def _moved(draws, deviations):
  shift = jnp.stack([-draws.normal(float(d)) for d in deviations])
  return jnp.eye(3).at[:2, 2].set(shift)


def _resampled(image: Image, matrix: Float[Array, '3 3']) -> Image:
  """The picture whose value at a place is that of `image` at `matrix` of it.

  Places are counted from the middle. The picture is brought to twice its size
  and back by one orthonormal filter, between which it is read linearly: where
  the matrix is the unit, the result is the picture.
  """
  h, w, _ = image.shape
  up = [jnp.asarray(_doubling(n), image.dtype) for n in (h, w)]
  down = [jnp.asarray(_halving(n), image.dtype) for n in (h, w)]
  double = _both_axes(up, image)
  middle = jnp.array([h - 1, w - 1]) / 2
  rows, columns = (
    (jnp.arange(2 * n + len(_SYM6) - 2, dtype=float) - _DELAY) / 2 - (n - 1) / 2
    for n in (h, w)
  )
  rows, columns = jnp.meshgrid(rows, columns, indexing='ij')
  places = jnp.stack([rows, columns, jnp.ones_like(rows)])
  source = jnp.tensordot(matrix[:2], places, 1, precision='highest')
  source = [
    2 * (_reflected(x + m, n) + _MARGIN) + _DELAY
    for x, m, n in zip(source, middle, (h, w), strict=True)
  ]
  read = jax.vmap(
    lambda plane: map_coordinates(plane, source, 1, mode='nearest'), 2, 2
  )
  # Its weights are float32 and its result is of the dtype of the picture.
  with jax.numpy_dtype_promotion('standard'):
    moved = read(double)
  return _both_axes(down, moved)


def _reflected(place, size):
  """Places far beyond the edges, as those of their mirror images within."""
  within = (place + 0.5) % (2 * size)
  within = jnp.where(within < size, within, 2 * size - within) - 0.5
  near = (place > -3.5) & (place < size + 2.5)  # where the margin serves
  return jnp.where(near, place, within)


@functools.cache
def _doubling(size: int) -> np.ndarray:
  """`[2 k + 10, size]`: a line and its margins, k pixels, at twice the rate."""
  padded = size + 2 * _MARGIN
  spread = np.zeros((2 * padded + len(_SYM6) - 2, padded))
  for k in range(padded):
    spread[2 * k : 2 * k + len(_SYM6), k] = _SYM6
  return spread @ np.pad(
    np.eye(size), [(_MARGIN, _MARGIN), (0, 0)], 'symmetric'
  )


@functools.cache
def _halving(size: int) -> np.ndarray:
  """`[size, 2 size + 10]`: back to one value a pixel."""
  gather = np.zeros((size, 2 * size + len(_SYM6) - 2))
  for k in range(size):
    gather[k, 2 * k : 2 * k + len(_SYM6)] = _SYM6
  return gather


def _colours(image, key, p, strengths):
  """Brightness to saturation: one affine map of the colours."""
  brightness, contrast, luma_flip, hue, saturation = likely = strengths[7:12]
  if not any(likely):
    return image
  draws = _Draws(key, p)
  grey = jnp.full((3, 3), 1 / 3)  # the projection onto the luma axis
  colour, happened = jnp.eye(4), jnp.zeros((), bool)
  light = jnp.eye(4).at[:3, 3].set(draws.normal(0.2))
  turned = _turned(draws.uniform(-math.pi, math.pi))
  vivid = grey + (jnp.eye(3) - grey) * draws.octaves(1.0)
  flipped = jnp.where(
    draws.integer(0, 2) == 1, jnp.eye(3) - 2 * grey, jnp.eye(3)
  )
  for own, strength in (
    (light, brightness),
    (_square(jnp.eye(3) * draws.octaves(0.5)), contrast),
    (_square(flipped), luma_flip),
    (_square(turned), hue),
    (_square(vivid), saturation),
  ):
    happens = draws.happens(strength)
    colour = jnp.where(happens, own @ colour, colour)
    happened |= happens
  return jnp.where(happened, _recoloured(image, colour), image)


def _square(matrix):
  return jnp.eye(4).at[:3, :3].set(matrix)


def _turned(angle):
  """A rotation about the luma axis (Rodrigues' formula)."""
  axis = jnp.full(3, 1 / math.sqrt(3))
  cross = jnp.cross(jnp.eye(3), axis[None])
  along = jnp.outer(axis, axis)
  return along + jnp.cos(angle) * (jnp.eye(3) - along) + jnp.sin(angle) * cross


def _recoloured(image: Image, colour: Float[Array, '4 4']) -> Image:
  """Colours through an affine map; of grey, the mean of what it makes."""
  linear, constant = colour[:3, :3], colour[:3, 3]
  if image.shape[-1] == 1:
    linear, constant = linear.sum(1).mean()[None, None], constant.mean()[None]
  elif image.shape[-1] != 3:
    raise ValueError(
      f'ada: colours need 1 or 3 channels, got {image.shape[-1]}.'
    )
  mixed = jnp.tensordot(
    image.astype(linear.dtype), linear.T, 1, precision='highest'
  )
  return (mixed + constant[None, None]).astype(image.dtype)


def _filter(image, key, p, strengths):
  """Amplifies octaves, and keeps the power of a natural picture."""
  if not strengths.image_filter:
    return image
  draws = _Draws(key, p)
  gains, happened = jnp.ones(4), jnp.zeros((), bool)
  for band in range(4):
    happens = draws.happens(strengths.image_filter)
    own = jnp.ones(4).at[band].set(draws.octaves(1.0))
    own /= jnp.sqrt((_BAND_POWER * own**2).sum())
    gains = jnp.where(happens, gains * own, gains)
    happened |= happens
  matrices = [
    jnp.tensordot(gains, jnp.asarray(_bands(n), jnp.float32), 1)
    for n in image.shape[:2]
  ]
  filtered = _both_axes([m.astype(image.dtype) for m in matrices], image)
  return jnp.where(happened, filtered, image)


@functools.cache
def _bands(size: int) -> np.ndarray:
  """`[4, size, size]`: a line's parts in each octave, the lowest first."""
  half = np.convolve(_SYM2, _SYM2[::-1]) / 2  # zero phase, 1 at 0, 0 at pi
  low, bands = np.ones(1), []
  for octave in range(3):
    wide = np.zeros(6 * 2**octave + 1)
    wide[:: 2**octave] = half
    lower = np.convolve(low, wide)
    bands.append(_centred(low, len(lower)) - lower)
    low = lower
  bands = [_centred(band, len(low)) for band in (low, *bands[::-1])]
  reach = len(low) // 2
  edges = np.pad(np.eye(size), [(reach, reach), (0, 0)], 'symmetric')
  windows = np.lib.stride_tricks.sliding_window_view(edges, len(low), 0)
  return np.stack([windows @ band for band in bands])


def _centred(taps, length):
  missing = (length - len(taps)) // 2
  return np.pad(taps, missing)


def _noise(image, key, p, strengths):
  if not strengths.noise:
    return image
  draws = _Draws(key, p)
  happens = draws.happens(strengths.noise)
  deviation = jnp.where(happens, jnp.abs(draws.normal(0.1)), 0)
  noise = jax.random.normal(draws.next(), (image.size,), image.dtype)
  return image + deviation.astype(image.dtype) * noise.reshape(image.shape)


def _cutout(image, key, p, strengths):
  """A rectangle of zeros, half as wide and as high, anywhere in the picture."""
  if not strengths.cutout:
    return image
  draws = _Draws(key, p)
  cut = draws.happens(strengths.cutout)
  for axis in range(2):
    size = image.shape[axis]
    middle = draws.uniform(0.0, float(size))
    place = jnp.arange(size, dtype=float) + 0.5
    within = jnp.abs(place - middle) < size / 4
    cut &= within.reshape([-1 if i == axis else 1 for i in range(3)])
  return jnp.where(cut, 0, image)


def _both_axes(matrices, image):
  """One matrix along the rows of a picture, another along its columns."""
  vertical, horizontal = matrices
  return jnp.einsum(
    'ai,ijc,bj->abc', vertical, image, horizontal, precision='highest'
  )
