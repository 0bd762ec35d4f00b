"""Digits that move: where they are, and that each clip is its number's."""

import dataclasses

import numpy as np
import pytest

from experiments.data import Arrays, MovingDigits
from experiments.data.moving_digits import reflected, shares


def digits():
  """Ten pictures: digit d is a bar of 4 columns and d + 4 rows, off centre."""
  images = np.zeros((10, 20, 20, 1), np.uint8)
  for digit in range(10):
    images[digit, 3 : digit + 7, 9:13] = 200
  return Arrays({'image': images, 'label': np.arange(10, dtype=np.int32)})


def source(**numbers):
  small = {'frames': 6, 'resolution': 16, 'size': 8, 'clips': 40}
  return MovingDigits(source=digits(), **{**small, **numbers})


def test_walks_are_reflected_by_hand():
  straight = np.array([0.0, 3.0, 5.0, 6.5, 10.0, 11.0, 23.0, -1.0, -12.0])
  expected = [0, 3, 5, 3.5, 0, 1, 3, 1, 2]
  np.testing.assert_allclose(reflected(straight, 5), expected)


def test_a_place_between_pixels_is_shared():
  got = shares(np.array([1.0, 1.25, -0.5, 3.0, 4.0]), 4)
  expected = [
    [0, 1, 0, 0],
    [0, 0.75, 0.25, 0],
    [0.5, 0, 0, 0],
    [0, 0, 0, 1],
    [0, 0, 0, 0],
  ]
  np.testing.assert_allclose(got, expected)


def test_the_centre_of_mass_is_where_the_square_is():
  clips = source()
  got = clips[np.arange(40)]
  assert (got['video'].shape, got['video'].dtype) == (
    (40, 6, 16, 16, 1),
    np.uint8,
  )
  line = np.arange(16)
  for i, clip in enumerate(got['video'][..., 0].astype(float)):
    _, (places,) = clips.trajectories(i)
    mass = clip.sum((1, 2))
    rows = clip.sum(2) @ line / mass
    columns = clip.sum(1) @ line / mass
    centre = np.stack([rows, columns], -1) - 3.5
    off = centre - places
    np.testing.assert_allclose(off, np.tile(off[:1], (6, 1)), atol=0.03)
    # An odd margin is rounded: half a pixel of a picture of 5, enlarged to 8.
    np.testing.assert_allclose(off, 0, atol=0.85)


def test_digits_move_evenly_but_for_the_walls():
  clips = source(frames=30, speed=(0.5, 1.5), digits=2)
  speeds = []
  for i in range(40):
    chosen, places = clips.trajectories(i)
    assert chosen.shape == (2,)
    assert places.shape == (2, 30, 2)
    assert places.min() >= 0
    assert places.max() <= 8  # 16 less the square
    away = np.abs(np.diff(places, axis=1))
    # On both axes the step of most frames, which turns cut short.
    step = np.median(away, axis=1, keepdims=True)
    assert (away <= step + 1e-9).all()
    turned = away < step - 1e-9
    near = np.minimum(places, 8 - places)
    beside_wall = np.minimum(near[:, 1:], near[:, :-1]) <= step
    assert (beside_wall | ~turned).all()
    speeds += np.linalg.norm(step[:, 0], axis=-1).tolist()
  assert min(speeds) >= 0.5 - 1e-9
  assert max(speeds) <= 1.5 + 1e-9
  assert np.mean(speeds) == pytest.approx(1, abs=0.12)


def test_the_longer_side_of_the_ink_has_the_size():
  clips = source(frames=1, size=10)
  for i in range(12):
    (digit,), ((place,),) = clips.trajectories(i)
    picture = clips[np.array([i])]['video'][0, 0, :, :, 0]
    ink = picture > 100
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    tall = rows[-1] - rows[0] + 1
    assert 9 <= tall <= 11, digit  # between pixels spread over one more
    assert abs(rows[0] - place[0]) <= 1
    wide = columns[-1] - columns[0] + 1
    assert abs(wide - 40 / (digit + 4)) <= 1.5  # 4 columns of digit + 4 rows


def test_labels_are_the_digits():
  clips = source(digits=2)
  got = clips[np.arange(10)]['label']
  assert got.dtype == np.int32
  for i, label in enumerate(got):
    (first, second), _ = clips.trajectories(i)
    assert label == 10 * first + second
  alone = source()
  (digit,), _ = alone.trajectories(3)
  assert alone[np.array([3])]['label'] == [digit]


def test_the_lighter_of_two_digits_shows():
  both = source(digits=2, clips=5)
  for i in range(5):
    clip = both[np.array([i])]['video'].astype(int)
    assert clip.max() < 230  # 200 and the filter's part, not a sum of 400
    assert clip.sum() > 0


def test_an_example_depends_on_the_seed_and_its_number_alone():
  clips, longer = source(), source(clips=100, frames=9)
  at_once = clips[np.arange(40)]['video']
  for i in (7, 0, 39):
    np.testing.assert_array_equal(clips[np.array([i])]['video'][0], at_once[i])
  np.testing.assert_array_equal(longer[np.arange(40)]['video'][:, :6], at_once)
  other = dataclasses.replace(clips, seed=1)[np.arange(40)]['video']
  assert (other != at_once).any((1, 2, 3, 4)).all()


def test_mistakes_are_named():
  with pytest.raises(ValueError, match=r'16 pixels have no room.*of 16'):
    source(size=16)
  with pytest.raises(ValueError, match=r'a highest speed .* not \(2, 1\)'):
    source(speed=(2, 1))
  with pytest.raises(ValueError, match='frames, size and clips of at least 1'):
    source(frames=0)
  black = Arrays(
    {'image': np.zeros((1, 9, 9, 1), np.uint8), 'label': np.zeros(1, int)}
  )
  with pytest.raises(ValueError, match='a digit without ink'):
    dataclasses.replace(source(), source=black)[np.arange(1)]
