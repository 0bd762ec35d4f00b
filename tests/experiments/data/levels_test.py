"""Black and white of 16-bit grey: exact there and back."""

import jax
import numpy as np
import pytest

from experiments import data

EVERY = np.arange(65536, dtype=np.uint16)


def _stretched(levels, image=EVERY):
  """What the source of one picture gives when its levels are stretched."""
  source = data.Arrays({'image': image[None], 'label': np.int32([3])})
  result = data.stretched(source, levels)
  assert len(result) == 1
  got = result[np.array([0])]
  assert got['label'] == [3]
  assert got['image'].dtype == np.uint16
  return got['image'][0]


def test_levels_are_stretched_over_the_whole_range():
  got = _stretched((100, 355), np.uint16([0, 100, 101, 227, 355, 356, 65535]))
  # 255 steps of 257, and what is outside is clipped.
  np.testing.assert_array_equal(got, [0, 0, 257, 32639, 65535, 65535, 65535])


@pytest.mark.parametrize(
  'levels', [(0, 65535), (0, 4095), (1000, 3001), (7, 8), (1, 65535)]
)
def test_every_level_returns_from_what_the_network_sees(levels):
  low, high = levels
  # As in the compiled step: float32 in [-1, 1].
  seen = jax.jit(data.to_float)({'image': _stretched(levels)})['image']
  assert (seen.min(), seen.max(), seen.dtype) == (-1, 1, np.float32)
  got = data.to_uint16(seen, levels)
  assert got.dtype == np.uint16
  np.testing.assert_array_equal(got, EVERY.clip(low, high))


def test_the_whole_range_stays_as_it_is():
  np.testing.assert_array_equal(_stretched(data.ALL_LEVELS), EVERY)


def test_to_uint16_rounds_and_clips():
  got = data.to_uint16(np.float32([-3, -0.998, 0.002, 1.5]), (10, 110))
  np.testing.assert_array_equal(got, [10, 10, 60, 110])


@pytest.mark.parametrize('levels', [(5, 5), (9, 4), (-1, 7), (0, 65536)])
def test_levels_out_of_order_or_range_are_refused(levels):
  message = f'got {levels[0]} and {levels[1]}'
  with pytest.raises(ValueError, match=message):
    _stretched(levels)
  with pytest.raises(ValueError, match=message):
    data.to_uint16(np.zeros(3), levels)
