"""Scores of time series: by networks trained after the fact, and by statistics.

The discriminative and the predictive score are those of TimeGAN's paper (Yoon
et al., 2019, section 5), with the numbers of its authors' code: small recurrent
networks are trained on the samples, so that the scores need no features and no
weights. Units and their initial values are flax's, whose reset gate acts after
the matrix product. Such a training is luck in part; each score comes as one
number for each of several seeds, which are trained in one program.

Series are `[n, t, d]` with each of the d numbers in [0, 1].
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Real

from jgan.metrics import arrays
from jgan.metrics.arrays import Array

Series = Real[Array, '_ _ _']

_LEARN = 0.8  # of the series, to train the discriminative score's network on
_RATE = 1e-3  # Adam's


def discriminative_score(
  real: Series,
  fake: Series,
  *,
  steps: int = 2000,
  batch_size: int = 128,
  seeds: int = 10,
  seed: int = 0,
) -> Float[np.ndarray, 'seeds']:
  """How well a network that learned to tell fakes from reals does so.

  A layer of d / 2 gated recurrent units, whose last state gives the logit, is
  trained on four fifths of both. The score is how far its accuracy on the other
  fifth is from a half: 0 where it cannot tell, .5 where it always can.

  The accuracy is the mean of those on reals and on fakes, so that unequal
  numbers of them give nothing away. Batches are drawn with replacement.

  Args:
    real: `[n, t, d]`.
    fake: `[m, t, d]`.
    steps: of the training.
    batch_size: of reals, and of fakes, in a step.
    seeds: how many trainings, each with its own split.
    seed: of the first; of the others follow from it.

  Returns:
    A score for each training, from 0 to .5.

  Raises:
    ValueError: there are less than two reals or fakes, their shapes differ,
      they hold NaN or infinity, or there are no seeds.
  """
  who = 'discriminative_score'
  real, fake = _checked(who, real=real, fake=fake)
  for name, series in (('real', real), ('fake', fake)):
    arrays.enough(who, name, len(series), 2, 'to learn from and to test')
  told = _tell_apart(_keys(who, seed, seeds), real, fake, steps, batch_size)
  return np.abs(np.asarray(told, np.float64) - 0.5)


def predictive_score(
  train: Series,
  test: Series,
  *,
  steps: int = 5000,
  batch_size: int = 128,
  seeds: int = 10,
  seed: int = 0,
) -> Float[np.ndarray, 'seeds']:
  """How far off a network is on `test` that learned to predict on `train`.

  A layer of d / 2 gated recurrent units reads all numbers of a step but the
  last, and predicts the last number of the next step; where there is one number
  it reads and predicts that. It is trained by the mean absolute error, and the
  score is that error on `test`: train on fakes and test on reals; the error
  that training on reals would give is the measure of it.

  Args:
    train: `[n, t, d]`, to learn from.
    test: `[m, t, d]`, to predict.
    steps: of the training.
    batch_size: of a step, drawn with replacement.
    seeds: how many trainings.
    seed: of the first; of the others follow from it.

  Returns:
    The error of each training.

  Raises:
    ValueError: the shapes differ, series have one step alone, they hold NaN or
      infinity, or there are no seeds.
  """
  who = 'predictive_score'
  train, test = _checked(who, train=train, test=test)
  if train.shape[1] < 2:
    raise ValueError(f'{who}: needs series of two steps or more.')
  errors = _predict(_keys(who, seed, seeds), train, test, steps, batch_size)
  return np.asarray(errors, np.float64)


def autocorrelation(series: Series, lags: int) -> Float[np.ndarray, 'd lags']:
  r"""How alike numbers of a series are to those some steps later.

  With :math:`\bar x` the mean of one number over the steps of one series,

  .. math:: r_k = \frac{\sum_{t \le T - k} (x_t - \bar x)(x_{t+k} - \bar x)}
    {\sum_{t \le T} (x_t - \bar x)^2}

  averaged over the series; 0 of one that stays as it is.

  Args:
    series: `[n, t, d]`.
    lags: the largest k, from 1 to t - 1.

  Returns:
    For each of the d numbers r_1, r_2, ...

  Raises:
    ValueError: `lags` is out of range, or the series hold NaN or infinity.
  """
  (series,) = _checked('autocorrelation', series=series)
  steps = series.shape[1]
  if not 1 <= lags < steps:
    raise ValueError(
      f'autocorrelation: needs lags from 1 to {steps - 1}, less than the '
      f'{steps} steps of the series, got {lags}.'
    )
  # Their mean may be off by rounding, which would pass for movement.
  constant = (series == series[:, :1]).all(1)
  moved = np.asarray(series, np.float64)
  moved = moved - moved.mean(1, keepdims=True)
  total = np.where(constant, 1, (moved**2).sum(1))
  found = [
    np.where(constant, 0, (moved[:, k:] * moved[:, :-k]).sum(1) / total)
    for k in range(1, lags + 1)
  ]
  return np.stack([r.mean(0) for r in found], -1)


def autocorrelation_distance(real: Series, fake: Series, lags: int) -> float:
  """The mean absolute difference of two `autocorrelation`s, from 0 to 2."""
  real, fake = _checked('autocorrelation_distance', real=real, fake=fake)
  differences = autocorrelation(real, lags) - autocorrelation(fake, lags)
  return float(np.abs(differences).mean())


def principal_components(
  real: Series, *others: Series, count: int = 2
) -> tuple[Float[np.ndarray, '_ k'], ...]:
  """Series as points in the plane where reals differ most.

  As in TimeGAN's pictures the d numbers of a step are first averaged, so that a
  series is a vector of t; the components are those of the reals alone.

  Args:
    real: `[n, t, d]`.
    *others: sets of series to be put in the same plane.
    count: components, at most t.

  Returns:
    The points of each set, of the reals first.
  """
  sets = _checked(
    'principal_components',
    real=real,
    **{f'set {i}': other for i, other in enumerate(others)},
  )
  flat = [np.asarray(x, np.float64).mean(2) for x in sets]
  mean = flat[0].mean(0)
  axes = np.linalg.svd(flat[0] - mean, full_matrices=False)[2][:count]
  return tuple((x - mean) @ axes.T for x in flat)


class _Reader(nn.Module):
  """A layer of gated recurrent units and a number in each step.

  The units are those of `nn.GRUCell`. What the input adds to their gates is
  computed outside of the loop and for all gates at once: at the few units of
  these scores a loop is mostly the number of its operations.
  """

  hidden: int

  @nn.compact
  def __call__(self, x: Float[Array, 'n t c']) -> Float[Array, 'n t']:
    units = self.hidden
    inputs = nn.Dense(3 * units, name='inputs')(jnp.swapaxes(x, 0, 1))
    kernel = self.param('kernel', _three_orthogonal, (units, 3 * units))
    bias = self.param('bias', nn.initializers.zeros, (1, units), jnp.float32)

    def step(state, now):
      before = state @ kernel
      gates = nn.sigmoid(now[:, : 2 * units] + before[:, : 2 * units])
      reset, keep = jnp.split(gates, 2, -1)
      new = nn.tanh(
        now[:, 2 * units :] + reset * (before[:, 2 * units :] + bias)
      )
      state = (1 - keep) * new + keep * state
      return state, state

    start = jnp.zeros((x.shape[0], units))
    _, states = jax.lax.scan(step, start, inputs)
    return nn.Dense(1, name='output')(jnp.swapaxes(states, 0, 1))[..., 0]


def _three_orthogonal(key, shape):
  """A kernel of three gates, each part of it orthogonal."""
  units = shape[0]
  parts = [
    nn.initializers.orthogonal()(jax.random.fold_in(key, i), (units, units))
    for i in range(3)
  ]
  return jnp.concatenate(parts, -1)


def _keys(who, seed, seeds):
  if seeds < 1:
    raise ValueError(f'{who}: seeds must be 1 or more, got {seeds}.')
  return jax.vmap(jax.random.key)(seed + jnp.arange(seeds))


@functools.partial(jax.jit, static_argnames=('steps', 'batch_size'))
def _tell_apart(keys, real, fake, steps, batch_size):
  """Accuracies of networks that learned to tell one from the other."""
  # One after the other: side by side, by vmap, they take longer on CPUs.
  return jax.lax.map(
    lambda key: _accuracy(key, real, fake, steps, batch_size), keys
  )


def _accuracy(key, real, fake, steps, batch_size):
  reader = _Reader(max(real.shape[2] // 2, 1))
  keys = [jax.random.fold_in(key, i) for i in range(4)]
  parts = []
  for one, series in zip(keys, (real, fake), strict=False):
    order = jax.random.permutation(one, len(series))
    learn = min(max(int(_LEARN * len(series)), 1), len(series) - 1)
    parts.append((series[order[:learn]], series[order[learn:]]))
  (learn_real, test_real), (learn_fake, test_fake) = parts

  def logits(params, series):
    return reader.apply(params, series)[:, -1]

  def loss(params, key):
    drawn = [
      _drawn(key, i, series, batch_size)
      for i, series in enumerate((learn_real, learn_fake))
    ]
    told = logits(params, jnp.concatenate(drawn))
    of_real, of_fake = told[:batch_size], told[batch_size:]
    return nn.softplus(-of_real).mean() + nn.softplus(of_fake).mean()

  params = _trained(loss, reader.init(keys[2], real[:1]), keys[3], steps)
  right = [
    (logits(params, test_real) > 0).mean(),
    (logits(params, test_fake) <= 0).mean(),
  ]
  return sum(right) / 2


@functools.partial(jax.jit, static_argnames=('steps', 'batch_size'))
def _predict(keys, train, test, steps, batch_size):
  """Mean absolute errors on `test` of networks that learned on `train`."""
  return jax.lax.map(
    lambda key: _error(key, train, test, steps, batch_size), keys
  )


def _error(key, train, test, steps, batch_size):
  reader = _Reader(max(train.shape[2] // 2, 1))
  keys = [jax.random.fold_in(key, i) for i in range(2)]

  def seen(series):
    return series[:, :-1] if series.shape[2] == 1 else series[:, :-1, :-1]

  def error(params, series):
    guess = nn.sigmoid(reader.apply(params, seen(series)))
    return jnp.abs(guess - series[:, 1:, -1]).mean()

  def loss(params, key):
    return error(params, _drawn(key, 0, train, batch_size))

  params = reader.init(keys[0], seen(train[:1]))
  return error(_trained(loss, params, keys[1], steps), test)


def _drawn(key, number, series, count):
  key = jax.random.fold_in(key, number)
  return series[jax.random.randint(key, (count,), 0, len(series))]


def _trained(loss, params, key, steps):
  """Params after so many steps of Adam on `loss(params, key of the step)`."""
  adam = optax.adam(_RATE)

  def step(carry, number):
    params, state = carry
    gradients = jax.grad(loss)(params, jax.random.fold_in(key, number))
    updates, state = adam.update(gradients, state, params)
    return (optax.apply_updates(params, updates), state), None

  start = params, adam.init(params)
  (params, _), _ = jax.lax.scan(step, start, jnp.arange(steps))
  return params


def _checked(who, **named) -> tuple[np.ndarray, ...]:
  """Sets of series as float32, after the checks."""
  sets = {name: np.asarray(x) for name, x in named.items()}
  for name, series in sets.items():
    if series.ndim != 3 or 0 in series.shape:
      raise ValueError(
        f'{who}: {name} needs the shape [n, t, d], got {list(series.shape)}.'
      )
    arrays.finite(who, name, series)
  shapes = {name: list(series.shape[1:]) for name, series in sets.items()}
  if len({tuple(shape) for shape in shapes.values()}) > 1:
    raise ValueError(
      f'{who}: steps and numbers in a step must agree, got {shapes}.'
    )
  return tuple(np.asarray(series, np.float32) for series in sets.values())
