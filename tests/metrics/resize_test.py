"""The two resizes against plain numpy and against Pillow."""

import jax
import numpy as np
import pytest
from PIL import Image

from jgan.metrics.resize import resize_clean, resize_tf1_bilinear

SHAPES = [(32, 32, 3, 299), (20, 31, 1, 47), (48, 64, 3, 17)]


def _images(height, width, channels):
  shape = (2, height, width, channels)
  images = np.random.default_rng(0).integers(0, 256, shape)
  return images.astype(np.float32)


def _shares(length, size):
  """Row i: how much of each input position makes output position i."""
  rows = np.zeros((size, length))
  for i in range(size):
    low = i * length // size
    rows[i, low] = 1 - (i * length / size - low)
    rows[i, min(low + 1, length - 1)] += i * length / size - low
  return rows


def test_bilinear_by_hand():
  row = jax.numpy.asarray([0.0, 100.0, 50.0]).reshape(1, 1, 3, 1)
  resized = np.asarray(resize_tf1_bilinear(row, 6))[0, :, :, 0]
  # Positions 0, .5, 1, 1.5, 2, 2.5; beyond the last the picture goes on.
  np.testing.assert_array_equal(resized, [[0, 50, 100, 75, 50, 50]] * 6)


@pytest.mark.parametrize(('height', 'width', 'channels', 'size'), SHAPES)
def test_bilinear_is_tensorflow_1s(height, width, channels, size):
  images = _images(height, width, channels)
  resized = jax.jit(resize_tf1_bilinear, static_argnums=1)(images, size)
  assert resized.dtype == np.float32
  shares = _shares(height, size), _shares(width, size)
  wanted = np.einsum('ih,jw,nhwc->nijc', *shares, images.astype(float))
  np.testing.assert_allclose(resized, wanted, atol=255 * 1e-5)


@pytest.mark.parametrize(('height', 'width', 'channels', 'size'), SHAPES)
def test_clean_is_pillows_bicubic_on_floats(height, width, channels, size):
  images = _images(height, width, channels)
  resized = jax.jit(resize_clean, static_argnums=1)(images, size)
  assert resized.dtype == np.float32
  wanted = np.empty(resized.shape)
  for i, c in np.ndindex(2, channels):
    plane = Image.fromarray(images[i, :, :, c])
    wanted[i, :, :, c] = plane.resize((size, size), Image.Resampling.BICUBIC)
  # Bicubic interpolation oversteps, and clean-fid cuts that off.
  np.testing.assert_allclose(resized, wanted.clip(0, 255), atol=255 * 5e-5)


@pytest.mark.parametrize('resize', [resize_tf1_bilinear, resize_clean])
def test_pictures_of_the_size_stay(resize):
  images = jax.numpy.asarray(_images(9, 9, 3))
  np.testing.assert_allclose(resize(images, 9), images, atol=1e-4)


def test_a_checkerboard_is_averaged_by_the_clean_one_alone():
  images = jax.numpy.asarray(np.indices((32, 32)).sum(0) % 2 * 255.0)
  images = images.astype('float32').reshape(1, 32, 32, 1)
  assert np.ptp(resize_clean(images, 8)[:, 2:-2, 2:-2]) < 1
  np.testing.assert_array_equal(resize_tf1_bilinear(images, 8), 0)
