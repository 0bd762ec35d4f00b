"""Pairs of one class: whose they are, and that each is its number's."""

import numpy as np
import pytest

from experiments.data import Arrays, matched


def source(name, labels):
  """Examples that tell their position."""
  labels = np.asarray(labels, np.int32)
  return Arrays({name: 10 * np.arange(len(labels)), 'label': labels})


FIRST = source('image', [0, 1, 2, 2, 1, 0])
SECOND = source('sound', [2, 0, 1, 0, 2, 1, 1, 2, 2])


def test_pairs_are_of_one_class_and_all_come():
  pairs = matched(FIRST, SECOND, size=6000)
  assert len(pairs) == 6000
  got = pairs[np.arange(6000)]
  assert set(got) == {'image', 'sound', 'label'}
  one, other = got['image'] // 10, got['sound'] // 10
  np.testing.assert_array_equal(got['label'], FIRST.arrays['label'][one])
  np.testing.assert_array_equal(got['label'], SECOND.arrays['label'][other])
  counts = np.zeros((6, 9))
  np.add.at(counts, (one, other), 1)
  # Each of the first as often as another, and so its partners.
  np.testing.assert_allclose(counts.sum(1), 1000, atol=130)
  for i, label in enumerate(FIRST.arrays['label']):
    partners = SECOND.arrays['label'] == label
    expected = 1000 / partners.sum()
    np.testing.assert_allclose(counts[i, partners], expected, atol=80)


def test_a_pair_depends_on_the_seed_and_its_number_alone():
  few, many = (matched(FIRST, SECOND, n) for n in (20, 70))
  all_at_once = few[np.arange(20)]
  for i in (7, 0, 19):
    for name, value in few[np.array([i])].items():
      assert value[0] == all_at_once[name][i]
  for name, value in many[np.arange(20)].items():
    np.testing.assert_array_equal(value, all_at_once[name])
  other = matched(FIRST, SECOND, 20, seed=1)[np.arange(20)]
  assert (other['sound'] != all_at_once['sound']).any()


def test_mistakes_are_named():
  with pytest.raises(
    ValueError, match=r'labels \[1\] of the first .* \[0, 2\]'
  ):
    matched(FIRST, source('sound', [0, 2]))
  with pytest.raises(ValueError, match=r"both sources have \['image'\]"):
    matched(FIRST, FIRST)
  with pytest.raises(ValueError, match=r"a 'label', got \['x'\]"):
    matched(FIRST, Arrays({'x': np.zeros(3)}))
