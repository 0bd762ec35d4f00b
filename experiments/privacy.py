"""What differentially private training has spent: epsilon for a given delta.

By the accountant of the package dp-accounting, which follows the distribution
of the privacy loss itself through the steps (Koskela et al., 2020; Gopi et al.,
2021). Two tables are neighbours where one has a row more than the other.
"""

import math

_ADVICE = (
  'differential privacy: what is spent is told by the package dp-accounting, '
  'which is not installed. Run: pip install "jgan[tables]"'
)


def epsilon(
  noise: float, rate: float, steps: int, delta: float, overflow: float = 0.0
) -> float:
  """Epsilon after so many steps of clipped and noised gradients.

  Args:
    noise: the noise multiplier, of each step's sum.
    rate: probability of each row to be in a step's batch, by itself.
    steps: how many there were.
    delta: that of (epsilon, delta).
    overflow: of each step the probability that not all rows drawn had room. The
      run is within `steps * overflow` of one where they have, in total
      variation, and (1 + e^epsilon) times that must fit into half of delta.

  Raises:
    ValueError: dp-accounting is not installed; or delta is too small for the
      overflow, or a number is out of its range.
  """
  if not (noise > 0 and 0 < rate <= 1 and steps >= 0 and 0 < delta < 1):
    raise ValueError(
      'epsilon: needs noise above 0, a rate up to 1, steps of 0 or more and a '
      f'delta between 0 and 1, got {noise=}, {rate=}, {steps=}, {delta=}.'
    )
  try:
    import dp_accounting
    from dp_accounting import pld
  except ImportError as error:
    raise ValueError(_ADVICE) from error
  if steps == 0:
    return 0.0
  step = dp_accounting.PoissonSampledDpEvent(
    rate, dp_accounting.GaussianDpEvent(noise)
  )
  accountant = pld.PLDAccountant()
  accountant.compose(dp_accounting.SelfComposedDpEvent(step, steps))
  half = delta / 2 if overflow else delta
  spent = float(accountant.get_epsilon(half))
  if (
    not math.isfinite(spent) or (1 + math.exp(spent)) * steps * overflow > half
  ):
    raise ValueError(
      f'differential privacy: {steps} steps at a noise of {noise} spend an '
      f'epsilon of {spent:.3g}, which is no privacy; give more --dp-noise, '
      'or fewer steps'
    )
  return spent
