"""Numbers as modes and scalars (Xu et al., 2019, section 4.2).

A number becomes a mode and a scalar, by a Gaussian mixture with a Dirichlet
process prior on ten modes. Beside those it has modes that the paper does not
know and that hold no scalar: one for each value that more than a tenth of the
rows have, which comes out exactly (a Gaussian makes of 0 something near it),
and one for what is missing. Unlike the authors' code it is fitted to no more
than 5,000 numbers, in units of their deviation, and what it makes of scalars
stays between the least and the greatest number of the data.
"""

import warnings
from typing import NamedTuple

import numpy as np

_MODES = 10
_LEAST_WEIGHT = 0.005  # of a mode that is kept, as in the authors' code
_REACH = 0.99  # of a scalar, likewise
_POINT = 0.1  # share of rows above which a value is a mode of its own
_FITTED = 5000  # values that a mixture is fitted to, at most


class Mixture(NamedTuple):
  """What numbers are as modes and scalars.

  The modes in order: Gaussians, single values, missing.

  Attributes:
    means: of the Gaussians, ascending.
    deviations: of them.
    weights: of them.
    points: the single values, ascending.
    missing: whether there is a mode for missing numbers.
    low: the least number.
    high: the greatest.
  """

  means: tuple[float, ...]
  deviations: tuple[float, ...]
  weights: tuple[float, ...]
  points: tuple[float, ...]
  missing: bool
  low: float
  high: float

  @property
  def modes(self) -> int:
    """How many there are."""
    return len(self.means) + len(self.points) + self.missing

  def encode(
    self, numbers: np.ndarray, rng: np.random.Generator
  ) -> tuple[np.ndarray, np.ndarray]:
    """Scalars, float32 `[n]` in [-1, 1], and modes, int32 `[n]`.

    The mode of a number is drawn by how probable the Gaussians make it.
    """
    codes = np.full(len(numbers), self.modes - 1, np.int32)
    scalars = np.zeros(len(numbers), np.float32)
    single = np.isnan(numbers)
    for i, point in enumerate(self.points):
      single |= numbers == point
      codes[numbers == point] = len(self.means) + i
    others = np.flatnonzero(~single)
    if len(others):
      means, deviations = np.array(self.means), np.array(self.deviations)
      distances = (numbers[others, None] - means) / deviations
      logs = np.log(self.weights) - np.log(deviations) - distances**2 / 2
      chances = np.exp(logs - logs.max(1, keepdims=True)).cumsum(1)
      chosen = (rng.random((len(others), 1)) * chances[:, -1:] > chances).sum(1)
      codes[others] = chosen
      nearest = distances[np.arange(len(others)), chosen] / 4
      scalars[others] = np.clip(nearest, -_REACH, _REACH)
    return scalars, codes

  def decode(self, scalars: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The numbers, float64 `[n]`, NaN where missing, none out of range."""
    flat = (*self.points, *[np.nan] * self.missing)
    means = np.array((*self.means, *flat))
    deviations = np.array((*self.deviations, *[0.0] * len(flat)))
    numbers = means[codes] + 4 * deviations[codes] * scalars
    return np.clip(numbers, self.low, self.high)


def fit_mixture(numbers: np.ndarray, seed: int = 0) -> Mixture:
  """The modes of numbers.

  Args:
    numbers: float64 `[n]`, NaN where missing.
    seed: decides which are taken, of more than 5,000, and where modes start.

  Raises:
    ValueError: scikit-learn is not installed.
  """
  present = numbers[~np.isnan(numbers)]
  missing = len(present) < len(numbers)
  if not len(present):
    return Mixture((), (), (), (), True, 0.0, 0.0)
  distinct, counts = np.unique(present, return_counts=True)
  frequent = counts > _POINT * len(numbers)
  if (~frequent).sum() == 1:  # no Gaussian for one value
    frequent[:] = True
  rest = present[~np.isin(present, distinct[frequent])]
  gaussians = _gaussians(rest, seed) if len(rest) else ((), (), ())
  points = tuple(distinct[frequent].tolist())
  low, high = float(distinct[0]), float(distinct[-1])
  return Mixture(*gaussians, points, missing, low, high)


def _gaussians(numbers, seed):
  """Means, deviations and weights of the modes that are kept."""
  try:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture
  except ImportError as error:
    raise ValueError(
      'tables: the modes of numbers are fitted by scikit-learn, which is not '
      'installed. Run: pip install "jgan[tables]"'
    ) from error
  rng = np.random.default_rng(seed)
  spread = numbers.std()
  if len(numbers) > _FITTED:
    numbers = rng.choice(numbers, _FITTED, replace=False)
  # Those drawn may all be equal, though not all numbers are.
  centre, scale = numbers.mean(), numbers.std() or spread
  model = BayesianGaussianMixture(
    n_components=min(_MODES, len(np.unique(numbers))),
    weight_concentration_prior_type='dirichlet_process',
    weight_concentration_prior=0.001,
    max_iter=100,
    n_init=1,
    random_state=seed,
  )
  with warnings.catch_warnings():
    # A mixture that still moves a little serves as well.
    warnings.simplefilter('ignore', ConvergenceWarning)
    model.fit(((numbers - centre) / scale)[:, None])
  kept = model.weights_ > min(_LEAST_WEIGHT, model.weights_.max() / 2)
  order = np.argsort(model.means_[kept, 0])
  means = model.means_[kept, 0][order] * scale + centre
  deviations = np.sqrt(model.covariances_[kept, 0, 0])[order] * scale
  weights = model.weights_[kept][order]
  return tuple(tuple(x.tolist()) for x in (means, deviations, weights))
