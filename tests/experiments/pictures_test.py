"""Grids of pictures, and PNG files that are whole or not there."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.pictures import grid, save_png


def test_grid_lays_pictures_out_row_by_row_with_gaps():
  images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * 10
  got = grid(np.broadcast_to(images, (5, 2, 3, 1)))
  # 3 columns and 2 rows: 2 + 2 * (2 + 2) by 2 + 3 * (3 + 2).
  assert (got.shape, got.dtype) == ((10, 17, 3), np.uint8)
  for i in range(5):
    top, left = 2 + i // 3 * 4, 2 + i % 3 * 5
    assert (got[top : top + 2, left : left + 3] == 10 * i).all()
  background = got[0, 0]
  assert (background > 200).all()
  assert (got[6:8, 12:15] == background).all()
  assert (got == background).all(-1).sum() == 10 * 17 - 5 * 2 * 3


def test_grid_takes_its_number_of_columns():
  images = np.zeros((6, 4, 4, 3), np.uint8)
  assert grid(images, columns=6).shape == (8, 38, 3)
  assert grid(images, columns=1).shape == (38, 8, 3)
  assert grid(images[:1]).shape == (8, 8, 3)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_grid_maps_floats_from_minus_one_to_one(dtype):
  images = jnp.array([-1.0, 1.0, 0.0, 7.0], dtype).reshape(1, 1, 4, 1)
  got = grid(images)[2, 2:6]
  expected = [[0] * 3, [255] * 3, [128] * 3, [255] * 3]
  np.testing.assert_array_equal(got, expected)


def test_grid_shows_sixteen_bits_in_eight():
  levels = np.uint16([0, 128, 129, 257 * 77, 65535]).reshape(1, 1, 5, 1)
  got = grid(levels)[2, 2:7, 0]
  np.testing.assert_array_equal(got, [0, 0, 1, 77, 255])


def test_grid_keeps_colours():
  red = np.zeros((1, 2, 2, 3), np.uint8)
  red[..., 0] = 200
  np.testing.assert_array_equal(grid(red)[2, 2], [200, 0, 0])


@pytest.mark.parametrize(
  ('images', 'message'),
  [
    (np.zeros((4, 8, 8), np.uint8), r'not \(4, 8, 8\)'),
    (np.zeros((4, 8, 8, 4), np.uint8), r'1 or 3 channels, not \(4, 8, 8, 4\)'),
    (np.zeros((0, 8, 8, 3), np.uint8), r'not \(0, 8, 8, 3\)'),
    (np.full((1, 2, 2, 1), np.nan), 'not finite'),
    (np.full((1, 2, 2, 1), np.inf), 'not finite'),
    (np.zeros((1, 2, 2, 1), np.int32), 'not int32'),
  ],
)
def test_grid_refuses_what_are_no_pictures(images, message):
  with pytest.raises(ValueError, match=f'grid: .*{message}'):
    grid(images)


def test_grid_refuses_no_columns():
  with pytest.raises(ValueError, match='at least one column, not 0'):
    grid(np.zeros((1, 2, 2, 1), np.uint8), columns=0)


@pytest.mark.parametrize('channels', [1, 3])
def test_save_png_keeps_every_pixel_and_makes_folders(tmp_path, channels):
  path = tmp_path / 'new' / 'folders' / 'x.png'
  pixels = np.arange(12 * channels, dtype=np.uint8).reshape(3, 4, channels)
  save_png(path, pixels)
  with Image.open(path) as image:
    assert image.format == 'PNG'
    got = np.asarray(image).reshape(pixels.shape)
  np.testing.assert_array_equal(got, pixels)
  assert [file.name for file in path.parent.iterdir()] == ['x.png']


def test_save_png_keeps_sixteen_bits_of_grey(tmp_path):
  pixels = np.arange(65536, dtype=np.uint16).reshape(128, 512, 1)
  save_png(tmp_path / 'x.png', pixels)
  with Image.open(tmp_path / 'x.png') as image:
    assert image.mode == 'I;16'
    np.testing.assert_array_equal(np.asarray(image), pixels[..., 0])
  with pytest.raises(ValueError, match=r'grey for 16 bits, not \(2, 2, 3\)'):
    save_png(tmp_path / 'x.png', np.zeros((2, 2, 3), np.uint16))


def test_save_png_takes_floats_and_replaces(tmp_path):
  path = str(tmp_path / 'x.png')
  save_png(path, np.zeros((2, 2, 3), np.uint8))
  save_png(path, np.ones((2, 2, 3)))
  with Image.open(path) as image:
    assert (np.asarray(image) == 255).all()


def test_save_png_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
  path = tmp_path / 'x.png'
  save_png(path, np.zeros((2, 2, 3), np.uint8))
  before = path.read_bytes()

  write = pathlib.Path.write_bytes

  def breaks(self, content):
    write(self, content[:10])
    raise OSError('no space left')

  monkeypatch.setattr(pathlib.Path, 'write_bytes', breaks)
  with pytest.raises(OSError, match='no space left'):
    save_png(path, np.ones((2, 2, 3)))
  assert path.read_bytes() == before
  assert list(tmp_path.iterdir()) == [path]


def test_save_png_refuses_a_batch_and_nan(tmp_path):
  with pytest.raises(ValueError, match=r' \[height, .*\(1, 2, 2, 3\)'):
    save_png(tmp_path / 'x.png', np.zeros((1, 2, 2, 3)))
  with pytest.raises(ValueError, match='not finite'):
    save_png(tmp_path / 'x.png', np.full((2, 2, 3), np.nan))
  assert not list(tmp_path.iterdir())
