"""Scores of pictures: closed forms, scipy, and pytorch-msssim's values."""

import features
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from jgan.metrics import (
  images,
  lerp,
  ms_ssim,
  perceptual_path_length,
  slerp,
  sliced_wasserstein,
)


@pytest.mark.parametrize('channels', [1, 3])
def test_ms_ssim_agrees_with_pytorch_msssim(channels):
  got = ms_ssim(*features.pictures(channels), value_range=(0.0, 1.0))
  golden = features.GOLDEN['pictures'][channels]
  np.testing.assert_allclose(got, golden, rtol=1e-5)


def test_ms_ssim_of_equal_and_of_plain_pictures():
  a, _ = features.pictures(1)
  np.testing.assert_allclose(ms_ssim(a, a), 1, rtol=1e-5)
  np.testing.assert_array_equal(ms_ssim(a, -a), 0)  # what is light is dark
  plain = np.ones((1, 161, 177, 1))
  got = ms_ssim(0.2 * plain, 0.7 * plain, value_range=(0.0, 1.0))
  # Only the luminance of the last scale differs.
  luminance = (2 * 0.2 * 0.7 + 1e-4) / (0.2**2 + 0.7**2 + 1e-4)
  np.testing.assert_allclose(got, luminance**0.1333, rtol=1e-4)


def test_ms_ssim_does_not_depend_on_the_range_of_values():
  a, b = (np.rint(255 * x) for x in features.pictures(1))
  expected = ms_ssim(a / 255, b / 255, value_range=(0.0, 1.0))
  in_bytes = (x.astype(np.uint8) for x in (a, b))
  np.testing.assert_allclose(
    ms_ssim(*in_bytes, value_range=(0.0, 255.0)), expected, rtol=1e-4
  )
  signed = (jnp.asarray(x / 127.5 - 1) for x in (a, b))
  np.testing.assert_allclose(ms_ssim(*signed), expected, rtol=1e-4)


def test_ms_ssim_refuses_what_it_cannot_compare():
  a, b = features.pictures(1)
  with pytest.raises(
    ValueError, match=r'161 pixels or more a side.*160 by 176'
  ):
    ms_ssim(a[:, :160], b[:, :160])
  with pytest.raises(
    ValueError, match=r'values from -1.0 to 1.0, got .* to 25'
  ):
    ms_ssim(a * 255, b)
  with pytest.raises(ValueError, match='value_range from less to more'):
    ms_ssim(0 * a, 0 * a, value_range=(0.0, 0.0))
  with pytest.raises(ValueError, match=r'got \[4, 192, 176, 1\] and \[3, 192'):
    ms_ssim(a, b[:3])
  with pytest.raises(ValueError, match='a and b holds NaN'):
    ms_ssim(a, b * np.nan)


def textures(seed, n=200, size=32):
  """Coloured noise: of all scales alike, and different in every picture."""
  rng = np.random.RandomState(seed)
  return sum(
    rng.normal(size=(n, size // s, size // s, 3)).repeat(s, 1).repeat(s, 2)
    for s in (1, 2, 4, 8)
  ).astype(np.float32)


def test_pyramid_is_the_laplacian_one():
  x = textures(0, n=3, size=64).astype(np.float64)
  kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, :, :, None] / 256

  def blurred(x):
    return scipy.ndimage.convolve(x, kernel, mode='mirror')

  for level in images._pyramid(x)[:-1]:
    half = blurred(x)[:, ::2, ::2]
    spread = np.zeros_like(x)
    spread[:, ::2, ::2] = half
    np.testing.assert_allclose(level, x - 4 * blurred(spread), atol=1e-5)
    x = half
  assert [level.shape[1] for level in images._pyramid(textures(0, 2, 64))] == [
    64,
    32,
    16,
  ]


def test_distance_of_projections_is_wasserstein_1():
  a, b = np.random.RandomState(0).gamma(2, size=(2, 500, 1)).astype(np.float32)
  expected = 1e3 * scipy.stats.wasserstein_distance(a[:, 0], b[:, 0])
  # On a line every direction is the same.
  got = images._sliced(a, b, 40, np.random.RandomState(0))
  assert got == pytest.approx(expected, rel=1e-5)


def test_sliced_wasserstein_finds_the_scale_that_differs():
  real, other = textures(1), textures(2)
  same = sliced_wasserstein(real, other, projections=64)
  assert list(same) == [32, 16]
  fine = scipy.ndimage.gaussian_filter(other, (0, 0.7, 0.7, 0))
  blurred = sliced_wasserstein(real, fine, projections=64)
  assert blurred[32] > 3 * same[32]
  assert blurred[32] > blurred[16]
  coarse = other + 3 * np.linspace(-1, 1, 32)[:, None, None].astype(np.float32)
  shaded = sliced_wasserstein(real, coarse, projections=64)
  assert shaded[16] > 3 * same[16]
  assert shaded[16] > 3 * shaded[32]


def test_sliced_wasserstein_reads_bytes_and_obeys_its_seed():
  real, fake = (
    np.clip(40 * textures(s, n=20) + 128, 0, 255).astype(np.uint8)
    for s in (1, 2)
  )
  first, again, other, scaled = (
    sliced_wasserstein(real, f, patches=16, projections=40, seed=seed)
    for f, seed in ((fake, 0), (fake, 0), (fake, 1), (fake / 255, 0))
  )
  assert first == again != other
  assert first == pytest.approx(scaled, rel=1e-4)


def test_sliced_wasserstein_refuses_what_it_cannot_compare():
  x = textures(0, n=4)
  with pytest.raises(ValueError, match=r'16 pixels or more a side.*8 by 32'):
    sliced_wasserstein(x[:, :8], x[:, :8])
  for wrong in ({'patches': 0}, {'projections': 0}):
    with pytest.raises(ValueError, match='patches and projections of 1 or'):
      sliced_wasserstein(x, x, **wrong)
  with pytest.raises(
    ValueError, match=r'\[4, 32, 32, 3\] and \[3, 32, 32, 3\]'
  ):
    sliced_wasserstein(x, x[:3])
  with pytest.raises(ValueError, match='no details at 32 pixels'):
    sliced_wasserstein(x, x * [1, 1, 0])
  with pytest.raises(ValueError, match='no details at 32 pixels'):
    sliced_wasserstein(x, np.ones_like(x) * x[:, :1, :1])


def test_slerp_and_lerp():
  a, b = np.array([[2.0, 0, 0]]), np.array([[0, 3.0, 0]])
  half = np.full((1, 1), 1 / 3)
  np.testing.assert_allclose(
    slerp(a, b, half), [[np.sqrt(3) / 2, 0.5, 0]], atol=1e-6
  )
  np.testing.assert_allclose(lerp(a, b, half), [[4 / 3, 1, 0]], atol=1e-6)
  np.testing.assert_allclose(slerp(a, a, half), [[1, 0, 0]], atol=1e-6)


def test_path_length_of_a_linear_generator():
  rng = np.random.RandomState(0)
  a, b = rng.normal(size=(2, 50, 8)).astype(np.float32)
  matrix = rng.normal(size=(8, 5)).astype(np.float32)
  got = perceptual_path_length(
    lambda z: z @ matrix,
    lambda x: 2 * x,
    a,
    b,
    rng.uniform(size=50),
    interpolate=lerp,
    epsilon=1e-2,
    batch_size=20,
  )
  lengths = np.sort(4 * (((b - a) @ matrix) ** 2).sum(1))
  # The 1% and 99% quantiles are outermost but one of fifty, and are kept.
  assert got == pytest.approx(lengths.mean(), rel=1e-3)


def test_path_length_on_the_sphere_leaves_out_the_extremes():
  n = 400
  a = np.tile(np.float32([[1, 0]]), (n, 1))
  b = np.tile(np.float32([[0, 1]]), (n, 1))
  t = np.linspace(0, 0.9, n)

  def torn(z):  # a jump within one path's step, and nothing in the last three
    at = jnp.arctan2(z[:, 1:], z[:, :1]) * 2 / np.pi
    moved = jnp.where(at > t[200] + 5e-4, 9.0, 0) + z
    return jnp.where(at > t[-3] - 5e-4, 9.0, moved)

  got = perceptual_path_length(torn, lambda x: x, a, b, t, epsilon=1e-3)
  # A right angle a unit of t, everywhere but there.
  assert got == pytest.approx((np.pi / 2) ** 2, rel=2e-3)


def test_path_length_refuses_what_it_cannot_measure():
  a = np.ones((4, 2), np.float32)
  t = np.zeros(4)
  with pytest.raises(ValueError, match=r'\[4, 2\], \[3, 2\] and 4'):
    perceptual_path_length(lambda z: z, lambda x: x, a, a[:3], t)
  with pytest.raises(ValueError, match='distance of features holds NaN'):
    perceptual_path_length(lambda z: z / 0, lambda x: x, a, a, t)
