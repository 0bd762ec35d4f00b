"""Pictures of npz files, on the disk and in memory."""

import numpy as np
import pytest

from experiments.data.npz import npz_source


@pytest.fixture(scope='module')
def arrays():
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (30, 4, 6, 3), np.uint8)
  return {'image': image, 'label': np.arange(30, dtype=np.int32)}


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_rows_are_those_of_the_arrays(arrays, tmp_path, save):
  save(tmp_path / 'x.npz', other=np.ones(3), **arrays)
  source = npz_source(tmp_path / 'x.npz')
  rows = np.array([29, 3, 3, 0])
  got = source[rows]
  assert (len(source), set(got)) == (30, {'image', 'label'})
  for name, array in got.items():
    np.testing.assert_array_equal(array, arrays[name][rows])
  on_disk = isinstance(source.arrays['image'], np.memmap)
  assert on_disk == (save is np.savez)
  assert not isinstance(got['image'], np.memmap)


def test_columns_first_and_another_name_are_read_as_well(arrays, tmp_path):
  path = tmp_path / 'x.npz'
  np.savez(path, samples=np.asfortranarray(arrays['image']))
  source = npz_source(path)
  np.testing.assert_array_equal(source[np.arange(30)]['image'], arrays['image'])
  assert set(source.arrays) == {'image'}


@pytest.mark.parametrize(
  ('arrays', 'message'),
  [
    ({'image': np.zeros((2, 4, 4, 3))}, r'must be uint8 or uint16 .*float64'),
    ({'x': np.zeros((2, 4, 4), np.uint8)}, r'x must be uint8 or .*\[2, 4, 4\]'),
    ({'image': np.zeros((0, 4, 4, 3), np.uint8)}, 'at least one example'),
    ({}, 'no arrays'),
  ],
)
def test_other_arrays_are_refused(arrays, message, tmp_path):
  np.savez(tmp_path / 'x.npz', **arrays)
  with pytest.raises(ValueError, match=message):
    npz_source(tmp_path / 'x.npz')


def test_pictures_of_16_bits_stay_so(tmp_path):
  image = np.arange(2 * 4 * 4, dtype=np.uint16).reshape(2, 4, 4, 1) * 2000
  np.savez(tmp_path / 'x.npz', image=image)
  got = npz_source(tmp_path / 'x.npz')[np.arange(2)]['image']
  assert got.dtype == np.uint16
  np.testing.assert_array_equal(got, image)


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_a_damaged_file_is_named(arrays, tmp_path, save):
  path = tmp_path / 'x.npz'
  save(path, **arrays)
  for content in (path.read_bytes()[:500], b'text', b''):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'x\.npz: no arrays of numpy'):
      npz_source(path)
  with pytest.raises(FileNotFoundError):
    npz_source(tmp_path / 'none.npz')
