"""Two domains of pictures that are not paired, as one source."""

import functools

import numpy as np

from experiments.data.batches import Source

_ROUNDS = 16  # with so many others each picture stands together


class Unpaired:
  """A source of 'x' and 'y' from two sources of an 'image', of any sizes.

  Each domain is gone through in an order of its own, shuffled anew each time
  and as often as the other needs it: both orders depend on the seed and the
  position alone. So that a picture does not always stand beside the same one,
  the source is 16 times as long as the larger domain.

  Args:
    x: examples with an 'image' [n, height, width, channels].
    y: the other domain, of the same height and width.
    seed: decides the orders.

  Raises:
    ValueError: the pictures differ in size.
  """

  def __init__(self, x: Source, y: Source, seed: int = 0):
    self.domains, self.seed = {'x': x, 'y': y}, seed
    sizes = [
      source[np.arange(1)]['image'].shape[1:3]
      for source in self.domains.values()
    ]
    if sizes[0] != sizes[1]:
      raise ValueError(
        'Unpaired: needs pictures of one size in both domains, got '
        f'{list(sizes[0])} and {list(sizes[1])}.'
      )

  def __len__(self) -> int:
    return _ROUNDS * max(map(len, self.domains.values()))

  def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
    return {
      name: source[self._rows(i, len(source), indices)]['image']
      for i, (name, source) in enumerate(self.domains.items())
    }

  def _rows(self, domain, size, indices):
    """Which pictures of a domain stand at these positions."""
    times, places = np.divmod(np.asarray(indices), size)
    rows = np.empty_like(places)
    for time in np.unique(times):
      here = times == time
      order = _order(self.seed, domain, int(time), size)
      rows[here] = order[places[here]]
    return rows


# More than the rounds of the larger domain, whose orders are the long ones.
@functools.lru_cache(maxsize=64)
def _order(seed: int, domain: int, time: int, size: int) -> np.ndarray:
  return np.random.default_rng([seed, domain, time]).permutation(size)
