"""Rows of a table as they are drawn for training, by what they hold or not."""

import numpy as np
from scipy.special import gammaincinv

from experiments.data.tables import Encoded
from jgan.models.ctgan import Category

OVERFLOW = 1e-15  # probability that a Poisson draw does not fit its batch


class TrainingBySampling:
  """Rows drawn to suit conditions: the paper's training by sampling.

  A column is drawn, of its values one by the logarithm of how often it occurs
  (and 1), and of the rows that have it one. Without categories rows are drawn
  alike. Batch number `step` is a pure function of the seed and the step.

  Args:
    rows: to draw from.

  References:
    Xu et al., 2019, section 4.3.
  """

  def __init__(self, rows: Encoded):
    self._rows = rows
    flat = rows.conditions.T.ravel()
    self._order = np.argsort(flat, kind='stable') % len(rows)
    self._counts = np.bincount(flat)
    self._starts = np.cumsum(self._counts) - self._counts
    self._ends = np.cumsum(_log_shares(rows.layout, self._counts))

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return self._rows[indices]

  def draw(
    self, seed: int, step: int, batch_size: int
  ) -> dict[str, np.ndarray]:
    """'row', and where there are categories 'condition', int32 `[n]`."""
    rng = np.random.default_rng([seed, step])
    place = rng.random(batch_size)
    if not len(self._counts):
      return self._rows[(place * len(self)).astype(int)]
    # Rounding could leave the last end just under a draw.
    value = np.searchsorted(self._ends[:-1], rng.random(batch_size), 'right')
    at = self._starts[value] + (place * self._counts[value]).astype(int)
    return {**self._rows[self._order[at]], 'condition': value.astype(np.int32)}


class PoissonSampling:
  """Rows that are in a batch each by chance, for differential privacy.

  Every row is in every batch with one probability, whatever it holds and
  whoever else is in it. A batch of fixed size holds them with 'weight' 1, then
  others with weight 0; that more are drawn than fit, has a probability of less
  than `OVERFLOW`, and then some are left out. The condition is what the row has
  in a column drawn for its place.

  Args:
    rows: to draw from.
  """

  def __init__(self, rows: Encoded):
    self._rows = rows

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return self._rows[indices]

  def draw(
    self, seed: int, step: int, batch_size: int
  ) -> dict[str, np.ndarray]:
    """'row', 'weight', float32 `[n]`, and 'condition' as the paper's draw."""
    rng = np.random.default_rng([seed, step])
    rate = poisson_rate(len(self), batch_size)
    drawn = rng.permutation(np.flatnonzero(rng.random(len(self)) < rate))
    drawn = drawn[:batch_size]
    at = np.pad(drawn, (0, batch_size - len(drawn)))
    weight = (np.arange(batch_size) < len(drawn)).astype(np.float32)
    batch = {**self._rows[at], 'weight': weight}
    conditions = self._rows.conditions
    if conditions.shape[1]:
      column = rng.integers(conditions.shape[1], size=batch_size)
      batch['condition'] = conditions[at, column]
    return batch


def poisson_rate(rows: int, batch_size: int) -> float:
  """The probability of a row to be in a batch of `PoissonSampling`.

  The largest at which more than `batch_size` are drawn with a probability of
  less than `OVERFLOW`, by that of a Poisson distribution, whose tail is the
  heavier.
  """
  return min(1.0, float(gammaincinv(batch_size + 1, OVERFLOW)) / rows)


def _log_shares(layout, counts) -> np.ndarray:
  """The chances of all conditions, by the logarithms of counts."""
  sizes = [len(x.frequencies) for x in layout if isinstance(x, Category)]
  parts = np.split(np.log1p(counts), np.cumsum(sizes)[:-1])
  return np.concatenate([part / part.sum() / len(parts) for part in parts])
