"""Distances decided in float32 wherever float32 can, and exact all the same."""

import numpy as np
import pytest

from jgan.metrics import distances


def brute_force(a, b):
  return np.square(np.float64(a)[:, None] - np.float64(b)[None]).sum(-1)


def check_nearest(queries, references, k):
  expected = brute_force(queries, references)
  squared, indices = distances.nearest(queries, references, k)
  assert (squared == np.sort(expected, 1)[:, :k]).all()
  assert (np.take_along_axis(expected, indices, 1) == squared).all()


@pytest.mark.parametrize('offset', [0, 1e3])
@pytest.mark.parametrize('k', [1, 4, 30])
def test_nearest_is_that_of_float64(k, offset):
  rng = np.random.RandomState(k)
  queries, references = rng.normal(size=(2, 150, 12)) + offset
  check_nearest(queries, references[:30], k)
  check_nearest(queries, references[:31], k)
  check_nearest(queries.astype(np.float32), references.astype(np.float32), k)


def test_nearest_among_many_ties_and_copies():
  rng = np.random.RandomState(0)
  grid = rng.randint(0, 3, size=(300, 4))
  check_nearest(grid, grid, 6)


def test_nearest_where_float32_sees_no_difference():
  rng = np.random.RandomState(0)
  radii = 1 + 1e-9 * rng.permutation(40)
  references = radii[:, None] * np.eye(40)
  squared, indices = distances.nearest(np.zeros((1, 40)), references, 3)
  assert (indices[0] == np.argsort(radii)[:3]).all()
  assert (squared[0] == np.sort(radii**2)[:3]).all()


def test_samples_collapsed_to_a_few_points():
  rng = np.random.RandomState(4)
  points = 1e3 * rng.normal(size=(3, 16))
  collapsed = points[rng.randint(3, size=200)] + 1e-3 * rng.normal(
    size=(200, 16)
  )
  check_nearest(collapsed, collapsed, 3)
  expected = brute_force(collapsed, collapsed)
  radii = np.sort(expected, 1)[:, 5]
  counts = distances.ball_counts(collapsed, collapsed, radii)
  assert (counts == (expected <= radii[None]).sum(1)).all()


def test_a_copy_is_at_the_very_distance_of_its_original():
  rng = np.random.RandomState(1)
  x = rng.normal(size=(100, 33)).astype(np.float32)
  squared, indices = distances.nearest(x, x, 2)
  assert (squared[:, 0] == 0).all()
  radii = np.full(100, squared[7, 1])
  held = distances.ball_counts(x[indices[7, 1:]], x[7:8], radii[:1])
  assert held == 1
  short = np.nextafter(radii[:1], 0)
  assert distances.ball_counts(x[indices[7, 1:]], x[7:8], short) == 0


@pytest.mark.parametrize('integers', [True, False])
def test_ball_counts_are_those_of_float64(integers):
  rng = np.random.RandomState(2)
  points, centres = rng.normal(size=(2, 200, 3)) * 2
  radii = rng.uniform(0, 6, size=200)
  if integers:
    points, centres, radii = (np.rint(x) for x in (points, centres, radii))
  expected = (brute_force(points, centres) <= radii[None]).sum(1)
  assert (distances.ball_counts(points, centres, radii) == expected).all()


def test_blocks_change_nothing(monkeypatch):
  rng = np.random.RandomState(3)
  points, centres = rng.normal(size=(130, 5)), rng.normal(size=(90, 5))
  radii = rng.uniform(0, 9, size=90)
  whole = distances.nearest(points, centres, 40)
  counts = distances.ball_counts(points, centres, radii)
  monkeypatch.setattr(distances, '_BLOCK', 32)
  for a, b in zip(distances.nearest(points, centres, 40), whole, strict=True):
    assert (a == b).all()
  assert (distances.ball_counts(points, centres, radii) == counts).all()


@pytest.mark.parametrize(
  'test',
  [
    test_nearest_among_many_ties_and_copies,
    test_nearest_where_float32_sees_no_difference,
    test_samples_collapsed_to_a_few_points,
  ],
)
def test_small_blocks_are_as_exact(test, monkeypatch):
  monkeypatch.setattr(distances, '_BLOCK', 7)
  test()


def test_features_beyond_float32_are_refused():
  with pytest.raises(ValueError, match='too large for float32'):
    distances.nearest(np.eye(3) * 1e30, np.eye(3) * 1e30, 1)
