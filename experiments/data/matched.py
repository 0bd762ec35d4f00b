"""Pairs of examples of one class, from two sources that know their classes."""

import numpy as np

from experiments.data.batches import Source


class _Matched:
  """Examples of two sources, joined when they are asked for."""

  def __init__(self, first, second, positions):
    self.first, self.second, self.positions = first, second, positions

  def __len__(self) -> int:
    return len(self.positions)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    one, other = self.positions[indices].T
    return self.second[other] | self.first[one]


def matched(
  first: Source, second: Source, size: int = 10_000, seed: int = 0
) -> Source:
  """Returns a source of pairs: an example of each source, of equal label.

  Which two example i joins depends on the seed and i alone: any of the first
  source with equal chances, and any of the second's that have its label.

  Args:
    first: examples with a 'label'.
    second: others, whose arrays have other names but for 'label'.
    size: number of pairs.
    seed: decides who comes together.

  Returns:
    The arrays of both, and one 'label'.

  Raises:
    ValueError: a source has no labels, both have an array of one name, or a
      label of the first is none of the second's.
  """
  labels = [_labels(source) for source in (first, second)]
  names = [set(source[np.arange(1)]) for source in (first, second)]
  if both := names[0] & names[1] - {'label'}:
    raise ValueError(f'matched: both sources have {sorted(both)}.')
  if missing := set(labels[0].tolist()) - set(labels[1].tolist()):
    raise ValueError(
      f'matched: labels {sorted(missing)} of the first source are none of the '
      f'second, whose labels are {np.unique(labels[1]).tolist()}.'
    )
  rng = np.random.default_rng(seed)
  # Two columns of draws in the order of the pairs, so that more pairs of a seed
  # begin as fewer do.
  draws = rng.random((size, 2))
  one = (draws[:, 0] * len(first)).astype(int)
  order = np.argsort(labels[1], kind='stable')
  ranked = labels[1][order]
  low, high = (
    np.searchsorted(ranked, labels[0][one], side) for side in ('left', 'right')
  )
  other = order[low + (draws[:, 1] * (high - low)).astype(int)]
  return _Matched(first, second, np.stack([one, other], 1))


def _labels(source: Source) -> np.ndarray:
  examples = source[np.arange(len(source))]
  if 'label' not in examples:
    raise ValueError(
      f"matched: needs examples with a 'label', got {sorted(examples)}."
    )
  return examples['label']
