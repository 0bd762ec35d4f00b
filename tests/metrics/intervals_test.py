"""Intervals as wide as the scores scatter."""

import jax
import numpy as np
import pytest

from jgan.metrics import (
  Interval,
  bootstrap,
  density_coverage,
  frechet_distance,
  half_samples,
  precision_recall,
)

BOTH = pytest.mark.parametrize('intervals', [half_samples, bootstrap])


@BOTH
def test_the_interval_of_a_mean_is_the_textbook_one(intervals):
  x = np.random.RandomState(0).normal(size=500)
  low, high = intervals(np.mean, x, resamples=400)
  error = x.std(ddof=1) / np.sqrt(500)
  assert (low + high) / 2 == pytest.approx(x.mean())
  assert (high - low) / 2 == pytest.approx(1.966 * error, rel=0.1)


@BOTH
def test_it_holds_the_truth_as_often_as_it_says(intervals):
  rng = np.random.RandomState(1)
  held = 0
  for seed in range(300):
    low, high = intervals(np.mean, rng.normal(size=40), seed=seed, level=0.8)
    held += low <= 0 <= high
  assert 0.73 < held / 300 < 0.87  # three standard errors of 300 throws


@BOTH
def test_the_difference_of_two_sets_scatters_with_both(intervals):
  a, b = np.random.RandomState(2).normal(size=(2, 300))
  one = intervals(np.mean, a, resamples=200)
  two = intervals(lambda a, b: a.mean() - b.mean(), a, b, resamples=200)
  ratio = (two.high - two.low) / (one.high - one.low)
  assert ratio == pytest.approx(np.sqrt(2), rel=0.2)


def test_each_number_of_a_score_gets_its_own():
  a, b = np.random.RandomState(3).normal(size=(2, 60, 2))
  precision, recall = half_samples(precision_recall, a, b, resamples=3)
  assert isinstance(precision, Interval)
  assert isinstance(recall, Interval)
  assert precision != recall


@pytest.mark.slow
def test_halves_tell_how_a_score_of_sets_scatters():
  rng = np.random.RandomState(4)

  def both(real, fake):
    return frechet_distance(real, fake), density_coverage(real, fake).coverage

  draws = [rng.normal(size=(2, 200, 4)) * [[[1]], [[1.3]]] for _ in range(60)]
  scatter = np.std([both(*draw) for draw in draws], axis=0)
  found = [half_samples(both, *draw, level=0.5) for draw in draws[:10]]
  leaves = [
    jax.tree.leaves(f, is_leaf=lambda x: isinstance(x, Interval)) for f in found
  ]
  # Half of Student's distribution with 19 degrees lies within .688.
  widths = np.mean([[high - low for low, high in pair] for pair in leaves], 0)
  np.testing.assert_allclose(widths / 2 / 0.688, scatter, rtol=0.35)


@BOTH
def test_the_seed_decides_the_draws(intervals):
  x = np.random.RandomState(5).normal(size=30)
  first, again, other = (intervals(np.mean, x, seed=s) for s in (0, 0, 1))
  assert first == again != other


def test_draws_with_and_without_repetition():
  drawn = []

  def note(x):
    drawn.append((len(x), len(np.unique(x))))
    return 0.0

  half_samples(note, np.arange(31), resamples=2)
  assert sorted(drawn) == [(15, 15), (15, 15), (31, 31)]
  drawn.clear()
  bootstrap(note, np.arange(31), resamples=2)
  assert [n for n, _ in drawn] == [31, 31, 31]
  assert min(different for _, different in drawn) < 31


@BOTH
def test_mistakes_give_no_interval(intervals):
  with pytest.raises(ValueError, match='resamples of 2 or more'):
    intervals(np.mean, np.arange(9), resamples=1)
  with pytest.raises(ValueError, match='level between 0 and 1, got 20 and'):
    intervals(np.mean, np.arange(9), level=1.5)
  with pytest.raises(ValueError, match=r'two samples or more, got \[9, 1\]'):
    intervals(np.mean, np.arange(9), np.arange(1))
  with pytest.raises(ValueError, match=r'two samples or more, got \[\]'):
    intervals(np.mean)


def test_the_margin_is_students_of_the_deviation_that_is_estimated():
  values = np.random.default_rng(0).normal(size=30)
  low, high = half_samples(np.mean, values, resamples=4, seed=3, level=0.8)
  rng = np.random.RandomState(3)
  parts = [values[rng.permutation(30)[:15]].mean() for _ in range(4)]
  about = np.asarray(parts) - np.mean(parts)
  margin = 1.6377 * np.sqrt((about**2).sum() / 3)  # the 90% of 3 degrees
  assert (high - low) / 2 == pytest.approx(margin, rel=1e-4)
  assert (high + low) / 2 == pytest.approx(values.mean())
