"""Who runs when, and the ratio of what they took."""

import numpy as np

from experiments.benchmarks import turns


def test_the_two_take_turns_at_being_first():
  told, time = [], iter(range(100))
  first, second = (
    lambda turn, name=name: told.append(f'{name}{turn}') for name in 'ab'
  )
  seconds = turns.in_turns([first, second], 3, lambda: next(time) ** 2)
  assert told == ['a0', 'b0', 'b1', 'a1', 'a2', 'b2']
  # From 0 to 1, from 4 to 9, and so on: 4 n + 1 for the n-th.
  np.testing.assert_array_equal(seconds, [[1, 5], [13, 9], [17, 21]])


def test_the_ratio_is_the_median_of_the_turns():
  median, (low, high) = turns.ratio(np.array([9, 19, 1.0]), 10 * np.ones(3))
  assert median == 0.9
  assert low <= median <= high
