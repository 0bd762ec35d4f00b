"""Nearest neighbours, and copies found by them."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jgan.metrics import memorisation, nearest_neighbours


def reals(n, seed, d=3):
  return np.random.RandomState(seed).normal(size=(n, d)).astype(np.float32)


TRAIN, HELD_OUT, FRESH = reals(400, 0), reals(300, 1), reals(200, 2)


def test_neighbours_on_a_line():
  got = nearest_neighbours(
    jnp.array([[0.0], [9.0]]), np.array([[4.0], [1.0], [11.0]]), k=2
  )
  assert got.distances.tolist() == [[1, 4], [2, 5]]
  assert got.indices.tolist() == [[1, 0], [2, 0]]


def test_fresh_samples_are_not_called_copies():
  ratio, share, z = memorisation(FRESH, TRAIN, HELD_OUT)
  assert ratio == pytest.approx(1, abs=0.15)
  assert share < 0.05
  assert abs(z) < 3


def test_copies_are():
  assert memorisation(TRAIN[:200], TRAIN, HELD_OUT) == (
    0,
    1,
    pytest.approx(-np.sqrt(200 * 300 * 501 / 12) * 6 / 501),
  )


def test_a_few_copies_show_in_the_share():
  fake = np.concatenate([FRESH, TRAIN[:20] + 1e-4])
  ratio, share, z = memorisation(fake, TRAIN, HELD_OUT)
  assert ratio > 0.8
  assert z > -3
  assert share == pytest.approx(20 / 220, abs=0.03)


def test_samples_far_from_all_data_have_a_large_z():
  assert memorisation(3 * FRESH, TRAIN, HELD_OUT).z > 3


def test_z_is_the_mann_whitney_statistic():
  of_fake, of_held_out = (
    nearest_neighbours(x, TRAIN).distances[:, 0] for x in (FRESH, HELD_OUT)
  )
  test = scipy.stats.mannwhitneyu(
    of_fake, of_held_out, use_continuity=False, method='asymptotic'
  )
  z = memorisation(FRESH, TRAIN, HELD_OUT).z
  assert 2 * scipy.stats.norm.sf(abs(z)) == pytest.approx(test.pvalue)


def test_mistakes_give_no_score():
  with pytest.raises(ValueError, match='most of them are among the training'):
    memorisation(FRESH, TRAIN, TRAIN[:50])
  with pytest.raises(
    ValueError, match='fake has 2, train has 3, held_out has 3'
  ):
    memorisation(FRESH[:, :2], TRAIN, HELD_OUT)
  with pytest.raises(ValueError, match='needs k of 1 or more, got 0'):
    nearest_neighbours(FRESH, TRAIN, 0)
  with pytest.raises(ValueError, match=r'at least 401 .*for k=401.*, got 400'):
    nearest_neighbours(FRESH, TRAIN, k=401)


def test_ratio_is_of_medians_and_ties_count_half():
  train = np.zeros((1, 1))
  held_out = np.array([[2.0], [2.0], [2.0], [30.0]])
  fake = np.array([[1.0], [1.0], [1.0], [10.0]])
  assert memorisation(fake, train, held_out).ratio == pytest.approx(1 / 2)
  # Of the four pairs of 1, 2 and 2, 3 one is a tie.
  told = memorisation(np.array([[1.0], [2]]), train, np.array([[2.0], [3]]))
  assert told.z == pytest.approx((1 / 2 - 2) / np.sqrt(4 * 5 / 12))
