"""Modes counted by hand."""

import math

import jaxtyping
import numpy as np
import pytest

from jgan.metrics import label_coverage, mode_coverage

CENTRES = np.array([[0.0, 0], [0, 2], [2, 0], [2, 2]])


def test_samples_close_to_a_centre_count():
  samples = np.array([[0, 0.1], [0.15, 0], [2, 1.86], [1, 1], [2, 0.16]])
  got = mode_coverage(samples, CENTRES, 0.05)
  # Two samples at the first centre and one at the last; two are too far off.
  assert got.modes == 2
  assert got.high_quality == 3 / 5
  expected = 2 / 3 * math.log(8 / 3) + 1 / 3 * math.log(4 / 3)
  assert got.reverse_kl == pytest.approx(expected)
  wide = mode_coverage(samples, CENTRES, 0.05, radius=3.3)
  assert (wide.modes, wide.high_quality) == (3, 4 / 5)


def test_the_mixture_itself_is_covered():
  rng = np.random.RandomState(0)
  samples = CENTRES[rng.randint(4, size=2500)] + 0.05 * rng.normal(
    size=(2500, 2)
  )
  modes, high_quality, reverse_kl = mode_coverage(samples, CENTRES, 0.05)
  assert modes == 4
  # A normal point of the plane lies within 3 deviations in 98.9% of the draws.
  assert high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.01)
  assert 0 <= reverse_kl < 0.01


def test_one_mode_and_none():
  one = mode_coverage(np.zeros((10, 2)), CENTRES, 0.05)
  assert one == (1, 1, pytest.approx(math.log(4)))
  none = mode_coverage(np.ones((10, 2)), CENTRES, 0.05)
  assert none == (0, 0, math.inf)


def test_labels_against_uniform_and_against_the_data():
  labels = np.array([0, 0, 0, 1], np.int32)
  got = label_coverage(labels, 4)
  expected = 3 / 4 * math.log(3) + 1 / 4 * math.log(1)
  assert got == (2, pytest.approx(expected))
  assert label_coverage(labels, 4, np.array([30, 10, 0, 0])) == (2, 0)
  assert label_coverage(labels, 4, np.array([1, 0, 1, 1])).kl == math.inf


def test_mistakes_give_no_score():
  with pytest.raises(ValueError, match='labels from 0 to 3, got 0 to 4'):
    label_coverage(np.arange(5), 4)
  with pytest.raises(ValueError, match='labels from 0 to 3, got none'):
    label_coverage(np.zeros(0, int), 4)
  with pytest.raises(ValueError, match=r'reference of 4 .* shape \[3\]'):
    label_coverage(np.arange(4), 4, np.ones(3))
  for wrong in (0, -1, np.nan, np.inf):
    with pytest.raises(ValueError, match=r'frequencies, 0 or more'):
      label_coverage(np.arange(2), 2, np.array([0, wrong]))
  for std, radius in ((0.0, 3.0), (-1.0, 3.0), (1.0, 0.0)):
    with pytest.raises(ValueError, match='needs a positive std and radius'):
      mode_coverage(np.zeros((2, 2)), np.zeros((3, 2)), std, radius)
  with pytest.raises(ValueError, match='samples has 3, centres has 2'):
    mode_coverage(np.zeros((5, 3)), CENTRES, 0.1)


@pytest.mark.parametrize('labels', [np.ones(3), np.ones((3, 1), int)])
def test_labels_are_integers_one_for_each_sample(labels, monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(ValueError, match=r'labels \[n\] of integers, got .*\[3'):
    label_coverage(labels, 4)
