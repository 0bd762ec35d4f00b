"""Speeds in turns, and the ratio of two of them with an interval."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from tqdm import tqdm

from jgan import metrics
from jgan.metrics.intervals import Interval


def in_turns(
  ways: Sequence[Callable[[int], None]],
  turns: int,
  clock: Callable[[], float] = time.perf_counter,
) -> np.ndarray:
  """Seconds that functions of the turn take, `[turns, ways]`.

  In every turn another goes first, so that what becomes slower or faster with
  time favours none.
  """
  seconds = np.zeros((turns, len(ways)))
  for turn in tqdm(range(turns), desc='turns', disable=None, leave=False):
    for way in np.roll(np.arange(len(ways)), -turn):
      start = clock()
      ways[way](turn)
      seconds[turn, way] = clock() - start
  return seconds


def ratio(first: np.ndarray, second: np.ndarray) -> tuple[float, Interval]:
  """The median over turns of `first / second`, and its interval of 95%."""
  ratios = first / second
  interval = metrics.bootstrap(np.median, ratios, resamples=1000)
  return float(np.median(ratios)), interval
