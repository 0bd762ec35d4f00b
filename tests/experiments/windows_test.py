"""Black and white of 16-bit grey: how they are asked for, and written."""

import io

import numpy as np
import pytest
from PIL import Image

from experiments import data, translation, windows

X, Y = (0, 4095), (1000, 1199)


def source(low=100, high=4000):
  x = np.linspace(low, high, 2 * 4 * 4).reshape(2, 4, 4, 1).astype(np.uint16)
  return data.Arrays({'x': x, 'y': x.astype(np.uint8)})


def applied(levels, name='x', pictures=None, **options):
  return windows.applied(
    pictures or source(),
    levels,
    flag=f'--{name}-levels',
    path='scans/',
    name=name,
    **options,
  )


def test_one_of_several_pictures_is_stretched(capsys):
  got = applied((1000, 3000))[np.arange(2)]
  raw = source().arrays['x']
  np.testing.assert_array_equal(got['x'] == 0, raw <= 1000)
  np.testing.assert_array_equal(got['x'] == 65535, raw >= 3000)
  np.testing.assert_array_equal(got['y'], source().arrays['y'])
  outside = np.mean((raw < 1000) | (raw > 3000))
  assert capsys.readouterr().err == (
    f'{outside:.2%} of the pixels of scans/ are outside of --x-levels 1000 '
    '3000 and are clipped; theirs are from 100 to 4000.\n'
  )


def test_without_the_flag_levels_are_all_or_an_error():
  wide = source(0, 65535)
  got = applied(None, pictures=wide)
  np.testing.assert_array_equal(got[np.arange(2)]['x'], wide.arrays['x'])
  with pytest.raises(ValueError, match=r'say which .*--x-levels 100 4000$'):
    applied(None)
  with pytest.raises(ValueError, match=r'--x-levels 0 65535$'):
    applied(None, pictures=wide, least=2**16)


def test_grey_of_8_bits_has_no_levels():
  pictures = source()
  assert applied(None, 'y', pictures) is pictures
  with pytest.raises(ValueError, match=r'for --y-channels=1; those of scans/'):
    applied((0, 255), 'y', pictures)


@pytest.mark.parametrize('levels', [(9, 9), (-5, 9), (0, 65536)])
def test_levels_in_no_order_are_told_by_their_flag(levels):
  with pytest.raises(ValueError, match=r'^--y-levels: needs a black below a'):
    applied(levels, 'y', data.Arrays({'y': source().arrays['x']}))


def _read(png):
  with Image.open(io.BytesIO(png)) as image:
    return np.asarray(image)


@pytest.mark.parametrize('levels', [None, Y])
def test_a_translation_is_written_in_its_levels(levels):
  kind = translation.modality(levels)
  made = np.linspace(-1, 1, 25, dtype=np.float32).reshape(1, 5, 5, 1)
  array = kind.arrays(made)['y']
  assert array.dtype == (np.uint16 if levels else np.uint8)
  assert (array.min(), array.max()) == (levels or (0, 255))
  np.testing.assert_array_equal(_read(kind.encode(made[0])), array[0, ..., 0])


@pytest.mark.parametrize(
  ('x_levels', 'y_levels', 'both'),
  [(X, Y, np.uint16), (X, None, np.uint8), (None, None, np.uint8)],
)
def test_cycles_are_written_in_the_levels_of_their_domains(
  x_levels, y_levels, both
):
  kind = translation.modality_of_cycles(x_levels, y_levels)
  one = np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 2, 2, 1)
  made = dict.fromkeys(('fake_x', 'cycle_x', 'fake_y', 'cycle_y'), one)
  ends = {'x': x_levels or (0, 255), 'y': y_levels or (0, 255)}
  for name, array in kind.arrays(made).items():
    assert (array.min(), array.max()) == ends[name[-1]]
  shown = _read(kind.encode({k: x[0] for k, x in made.items()}))
  assert shown.shape == (2, 4)
  assert (shown.max() > 255) == (both == np.uint16)
  only = _read(kind.encode({k: made[k][0] for k in ('fake_x', 'cycle_y')}))
  assert (only.shape, only.max()) == ((2, 2), ends['x'][1])
