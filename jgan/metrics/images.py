"""Scores of pictures themselves, and of a generator's path between them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Real

from jgan.metrics import arrays
from jgan.metrics.arrays import Array, Images

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al., section 3.2
_TAPS = 11
_WINDOW = np.exp(-((np.arange(_TAPS) - _TAPS // 2) ** 2) / (2 * 1.5**2))
_WINDOW = (_WINDOW / _WINDOW.sum()).tolist()
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_SMALLEST = 161  # a side that, halved four times, still has 11 pixels


def ms_ssim(
  a: Images,
  b: Images,
  *,
  value_range: tuple[float, float] = (-1.0, 1.0),
) -> Float[np.ndarray, '_']:
  r"""Multi-scale structural similarity of pairs of pictures.

  .. math:: l^{w_5} \prod_{s=1}^{5} c_s^{w_s}

  with the contrast and structure c at each scale, halved from one to the next,
  and the luminance l at the last, in Gaussian windows of 11 taps and deviation
  1.5; of each channel, then averaged (the code of Progressive GAN, in a copy of
  TensorFlow's, averages c and l over the channels before the powers, and has
  smaller windows for smaller pictures). 1 for equal pictures, 0 where a scale's
  mean is negative.

  Its mean over pairs of samples (of one class) measures how little they differ;
  it is compared with that of pairs of reals.

  Args:
    a: pictures `[n, height, width, channels]`.
    b: what each is compared with, of the same shape.
    value_range: the values of black and of white; (0.0, 255.0) for bytes.

  Returns:
    float64 `[n]`, from 0 to 1.

  Raises:
    ValueError: shapes differ, NaN or infinity, values out of the range, or a
      side below 161, too small for the window at the fifth scale.

  References:
    Wang et al., Multi-Scale Structural Similarity for Image Quality Assessment,
    2003, equation 7; as a measure of diversity, Odena et al., Conditional Image
    Synthesis with Auxiliary Classifier GANs, 2016, section 4.2
    (https://arxiv.org/abs/1610.09585).
  """
  a, b = _images('ms_ssim', 'a and b', a, b)
  low, high = value_range
  if not low < high:
    raise ValueError(
      f'ms_ssim: needs a value_range from less to more, got {value_range}.'
    )
  if min(a.min(), b.min()) < low or max(a.max(), b.max()) > high:
    raise ValueError(
      f'ms_ssim: needs values from {low} to {high}, got from '
      f'{min(a.min(), b.min())} to {max(a.max(), b.max())}; see value_range.'
    )
  if min(a.shape[1:3]) < _SMALLEST:
    raise ValueError(
      f'ms_ssim: needs pictures of {_SMALLEST} pixels or more a side, whose '
      f'fifth scale holds its window of {_TAPS}, got {a.shape[1]} by '
      f'{a.shape[2]}. sliced_wasserstein compares smaller ones.'
    )
  similarities = [
    _similarity(*((x[i : i + 16] - low) / (high - low) for x in (a, b)))
    for i in range(0, len(a), 16)
  ]
  return np.concatenate(similarities).astype(np.float64)


@jax.jit
def _similarity(a, b):
  """Of pictures in [0, 1]."""
  a, b = a.astype(jnp.float32), b.astype(jnp.float32)
  result = 1.0
  for scale, weight in enumerate(_WEIGHTS):
    luminance, contrast = _structure(a, b)
    last = scale == len(_WEIGHTS) - 1
    value = (luminance * contrast if last else contrast).mean((1, 2))
    result *= jax.nn.relu(value) ** weight
    a, b = _halved(a), _halved(b)
  return result.mean(-1)


def _structure(a, b):
  # Around grey, so that the variances do not cancel in float32.
  a, b = a - 0.5, b - 0.5
  moments = jnp.stack([a, b, a * a, b * b, a * b])
  for axis in (2, 3):
    moments = _filtered(moments, _WINDOW, axis)
  mean_a, mean_b, aa, bb, ab = moments
  variances = aa - mean_a**2 + bb - mean_b**2
  covariance = ab - mean_a * mean_b
  mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
  c1, c2 = 0.01**2, 0.03**2
  luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
  return luminance, (2 * covariance + c2) / (variances + c2)


def _filtered(x, taps, axis):
  """`x` correlated with the taps along an axis, where they fit."""
  # Shifted sums: a convolution of single channels is slow on a CPU.
  size = x.shape[axis] - len(taps) + 1
  return sum(
    tap * lax.slice_in_dim(x, i, i + size, axis=axis)
    for i, tap in enumerate(taps)
  )


def _halved(x):
  """Means of 2x2 pixels; a last odd row or column counts twice."""
  height, width = x.shape[1:3]
  x = jnp.pad(
    x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode='symmetric'
  )
  rows = (x[:, ::2] + x[:, 1::2]) / 2
  return (rows[:, :, ::2] + rows[:, :, 1::2]) / 2


def sliced_wasserstein(
  real_images: Images,
  fake_images: Images,
  *,
  patches: int = 128,
  projections: int = 512,
  seed: int = 0,
) -> dict[int, float]:
  r"""The sliced Wasserstein distance of patches, at each scale, times 1,000.

  Both sets are taken apart into Laplacian pyramids, down to 16 pixels. At each
  level, from each picture, patches of 7x7 pixels are drawn, normalised to mean
  0 and deviation 1 per channel over the set, and projected on random directions
  of length 1; there the distance of two distributions is the mean distance of
  their sorted values. A small one at the finest level says that the details are
  alike, at the coarsest that the layouts are.

  Args:
    real_images: `[n, height, width, channels]`; n = 8,192 in published figures.
    fake_images: as many, of the same shape. Contrast and brightness of a whole
      set, and so the range of values, do not count.
    patches: per picture and level.
    projections: random directions per level.
    seed: of patches and directions.

  Returns:
    The distance by level, named by the smaller side of its pictures, the finest
    first. The descriptors of a level take `n * patches * 196 * channels` bytes
    for each set.

  Raises:
    ValueError: shapes differ, a side is below 16, NaN or infinity, no patches
      or projections, or a set has no details at a level.

  References:
    Karras et al., Progressive Growing of GANs, 2017, section 5
    (https://arxiv.org/abs/1710.10196).
  """
  who = 'sliced_wasserstein'
  real, fake = _images(who, 'real and fake images', real_images, fake_images)
  if min(real.shape[1:3]) < 16:
    raise ValueError(
      f'{who}: needs pictures of 16 pixels or more a side, got '
      f'{real.shape[1]} by {real.shape[2]}.'
    )
  if min(patches, projections) < 1:
    raise ValueError(
      f'{who}: needs patches and projections of 1 or more, got {patches} and '
      f'{projections}.'
    )
  rng = np.random.RandomState(seed)
  # Of less than this, float32 leaves only rounding errors.
  least = 1e-6 * max(np.abs(x).max() for x in (real, fake))
  return {
    min(levels[0].shape[1:3]): _sliced(
      *(_descriptors(level, patches, rng, least) for level in levels),
      projections,
      rng,
    )
    for levels in zip(_pyramid(real), _pyramid(fake), strict=True)
  }


def _pyramid(images):
  """Laplacian levels [n, height, width, channels], the finest first."""
  levels = []
  while _divisible(images):
    parts = [_split(images[i : i + 256]) for i in range(0, len(images), 256)]
    images, details = (np.concatenate(p) for p in zip(*parts, strict=True))
    levels.append(details)
  return [*levels, images.astype(np.float32)]


def _divisible(images):
  height, width = images.shape[1:3]
  return min(height, width) >= 32 and height % 2 == width % 2 == 0


@jax.jit
def _split(images):
  """The pictures at half size, and what those lack."""
  images = images.astype(jnp.float32)
  half = _blurred(images)[:, ::2, ::2]
  spread = jnp.zeros_like(images).at[:, ::2, ::2].set(half)
  return half, images - 4 * _blurred(spread)


def _blurred(x):
  x = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode='reflect')
  return _filtered(_filtered(x, _BINOMIAL, 1), _BINOMIAL, 2)


def _descriptors(level, patches, rng, least):
  """Normalised patches [n * patches, 7 * 7 * channels]."""
  windows = np.lib.stride_tricks.sliding_window_view(level, (7, 7), (1, 2))
  n, rows, columns = windows.shape[:3]
  of = np.repeat(np.arange(n), patches)
  drawn = windows[
    of, rng.randint(0, rows, len(of)), rng.randint(0, columns, len(of))
  ]
  mean = drawn.mean((0, 2, 3), keepdims=True, dtype=np.float64)
  drawn -= mean.astype(np.float32)
  squares = np.einsum('nchw,nchw->c', drawn, drawn, dtype=np.float64)
  std = np.sqrt(squares * mean.size / drawn.size)
  if std.min() <= least:
    raise ValueError(
      'sliced_wasserstein: a channel of one set has no details at '
      f'{min(level.shape[1:3])} pixels; are its pictures of one colour?'
    )
  drawn /= std.astype(np.float32)[:, None, None]
  return drawn.reshape(len(drawn), -1)


def _sliced(real, fake, projections, rng):
  directions = rng.normal(size=(projections, real.shape[1]))
  directions /= np.linalg.norm(directions, axis=1, keepdims=True)
  real, fake = jnp.asarray(real), jnp.asarray(fake)
  total = 0.0
  # Some at a time: the projections of all would be larger than the patches.
  for i in range(0, projections, 32):
    block = directions[i : i + 32].astype(np.float32)
    # numpy sorts many times faster than XLA does on a CPU.
    a, b = (np.sort(_projected(block, x), axis=1) for x in (real, fake))
    total += np.abs(a - b).mean(1, dtype=np.float64).sum()
  return float(1e3 * total / projections)


@jax.jit
def _projected(directions, patches):
  return jnp.matmul(directions, patches.T, precision='highest')


def lerp(a: Array, b: Array, t: Array) -> Array:
  """The straight path: (1 - t) a + t b, t `[n, 1]`; for mapped latents w."""
  return a + t * (b - a)


def slerp(a: Array, b: Array, t: Array) -> Array:
  """The arc from a to b on the unit sphere, t `[n, 1]`; for normal latents z.

  References:
    Shoemake, Animating Rotation with Quaternion Curves, 1985.
  """
  a, b = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
  # The part of b at a right angle to a.
  side = b - (a * b).sum(-1, keepdims=True) * a
  sine = jnp.linalg.norm(side, axis=-1, keepdims=True)
  angle = t * jnp.arctan2(sine, (a * b).sum(-1, keepdims=True))
  return a * jnp.cos(angle) + side / jnp.maximum(sine, 1e-12) * jnp.sin(angle)


def perceptual_path_length(
  generate: Callable[[jax.Array], jax.Array],
  features: Callable[[jax.Array], jax.Array],
  latents_a: Float[Array, '_ _'],
  latents_b: Float[Array, '_ _'],
  t: Real[Array, '_'],
  *,
  interpolate: Callable[[Array, Array, Array], Array] = slerp,
  epsilon: float = 1e-4,
  batch_size: int = 16,
) -> float:
  r"""How fast the features of samples change along paths between latents.

  .. math:: \mathbb{E} \Big[\frac{1}{\epsilon^2} \big\lVert
    f(G(p(t))) - f(G(p(t + \epsilon))) \big\rVert^2\Big]

  along p from a to b, without the paths below the 1% and above the 99%
  quantile. With LPIPS features (whose squared distance is the LPIPS distance)
  it is the published score.

  The distance is a difference of nearly equal numbers: G and f must run in
  float32, and even so rounding adds about (1e-6 |f| / epsilon)^2.

  Args:
    generate: G, from latents `[b, size]` to samples.
    features: f, from samples to `[b, d]`.
    latents_a: `[n, size]`; n = 100,000 in published figures.
    latents_b: the other ends.
    t: where on each path, in [0, 1]: uniform for the full length, 0 for that at
      the ends.
    interpolate: p, of a, b and t `[b, 1]`: `slerp` for normal latents, `lerp`
      for mapped ones.
    epsilon: the step.
    batch_size: paths at a time; each is two samples.

  Returns:
    The mean over the paths kept.

  Raises:
    ValueError: numbers of latents and positions differ, or a distance is NaN or
      infinite.

  References:
    Karras et al., A Style-Based Generator Architecture for Generative
    Adversarial Networks, 2018, equations 2 and 3
    (https://arxiv.org/abs/1812.04948).
  """
  who = 'perceptual_path_length'
  latents_a, latents_b, t = map(jnp.asarray, (latents_a, latents_b, t))
  if not latents_a.shape == latents_b.shape == (len(t), *latents_b.shape[1:]):
    raise ValueError(
      f'{who}: needs as many latents of one shape as positions t, got '
      f'{list(latents_a.shape)}, {list(latents_b.shape)} and {len(t)}.'
    )

  @jax.jit
  def lengths(a, b, t):
    ends = [interpolate(a, b, x[:, None]) for x in (t, t + epsilon)]
    near, far = jnp.split(features(generate(jnp.concatenate(ends))), 2)
    return ((near - far) ** 2).sum(-1) / epsilon**2

  found = np.concatenate(
    [
      lengths(latents_a[i:j], latents_b[i:j], t[i:j])
      for i, j in ((i, i + batch_size) for i in range(0, len(t), batch_size))
    ]
  ).astype(np.float64)
  arrays.finite(who, 'the distance of features', found)
  low = np.quantile(found, 0.01, method='lower')
  high = np.quantile(found, 0.99, method='higher')
  return float(found[(found >= low) & (found <= high)].mean())


def _images(who, names, *images):
  checked = [np.asarray(x) for x in images]
  shapes = [list(x.shape) for x in checked]
  if checked[0].ndim != 4 or shapes[0] != shapes[1] or 0 in shapes[0]:
    raise ValueError(
      f'{who}: {names} need one shape [n, height, width, channels], got '
      f'{shapes[0]} and {shapes[1]}.'
    )
  for x in checked:
    arrays.finite(who, names, x)
  return checked
