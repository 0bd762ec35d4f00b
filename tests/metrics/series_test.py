"""Scores of time series: by hand, against flax and scikit-learn, by kind."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from jgan import metrics
from jgan.metrics.series import _Reader


def waves(n, seed=0, steps=6, numbers=3):
  """Sines of random phase, in [0, 1]."""
  rng = np.random.default_rng(seed)
  phase = rng.uniform(0, 2 * np.pi, (n, 1, numbers))
  return 0.5 + 0.4 * np.sin(phase + 0.7 * np.arange(steps)[:, None])


def test_autocorrelation_by_hand():
  # Deviations -1, 1, -1, 1 and -3, -1, 1, 3.
  series = np.array([[0, 2, 0, 2], [0, 2, 4, 6]], float).T[None] / 6
  expected = [[-3 / 4, 2 / 4, -1 / 4], [5 / 20, -6 / 20, -9 / 20]]
  found = metrics.autocorrelation(series, 3)
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_autocorrelation_is_numpys_averaged_over_the_series():
  series = np.random.default_rng(0).uniform(size=(5, 9, 2)).astype(np.float32)
  expected = np.zeros((2, 4))
  for one in series:
    for number, x in enumerate(one.T.astype(float)):
      x = x - x.mean()
      whole = np.correlate(x, x, 'full')[len(x) - 1 :]
      expected[number] += whole[1:5] / whole[0] / len(series)
  found = metrics.autocorrelation(series, 4)
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_constant_has_no_autocorrelation():
  # A third has no exact mean in float32.
  constant = np.full((3, 7, 1), 1 / 3)
  np.testing.assert_array_equal(metrics.autocorrelation(constant, 2), [[0, 0]])
  alternating = np.tile([0.0, 1.0], 4)[None, :, None]
  found = [
    metrics.autocorrelation_distance(alternating, np.full((1, 8, 1), 0.2), lags)
    for lags in (1, 2)
  ]
  assert found == pytest.approx([7 / 8, (7 / 8 + 6 / 8) / 2])
  assert metrics.autocorrelation_distance(alternating, alternating, 3) == 0


def test_the_reader_is_flaxs_gated_recurrent_unit():
  x = jax.random.normal(jax.random.key(0), (4, 5, 3))
  reader = _Reader(2)
  variables = reader.init(jax.random.key(1), x)
  # Biases that hide nothing.
  variables = jax.tree.map(lambda v: v + 0.1 * (v == 0), variables)
  own = variables['params']
  inputs = own['inputs']
  cell = {'hn': {'bias': own['bias'][0]}}
  for i, gate in enumerate('rzn'):
    part = slice(2 * i, 2 * i + 2)
    cell[f'i{gate}'] = {
      'kernel': inputs['kernel'][:, part],
      'bias': inputs['bias'][part],
    }
    kernel = own['kernel'][:, part]
    cell[f'h{gate}'] = {**cell.get(f'h{gate}', {}), 'kernel': kernel}
  states = nn.RNN(nn.GRUCell(2)).apply({'params': {'cell': cell}}, x)
  expected = nn.Dense(1).apply({'params': own['output']}, states)[..., 0]
  np.testing.assert_allclose(reader.apply(variables, x), expected, atol=1e-6)


def test_each_gate_starts_orthogonal():
  variables = _Reader(4).init(jax.random.key(0), jnp.zeros((1, 2, 3)))
  kernel = variables['params']['kernel']
  for part in np.split(np.asarray(kernel), 3, axis=1):
    np.testing.assert_allclose(part @ part.T, np.eye(4), atol=1e-5)


@pytest.mark.slow
def test_a_network_tells_apart_what_differs_and_no_more():
  alike = metrics.discriminative_score(
    waves(400), waves(400, seed=1), steps=300, seeds=3
  )
  other = metrics.discriminative_score(
    waves(400), waves(400, seed=1) ** 3, steps=600, seeds=3
  )
  assert alike.shape == other.shape == (3,)
  assert ((alike >= 0) & (alike < 0.15)).all()
  assert ((other > 0.3) & (other <= 0.5)).all()
  again = metrics.discriminative_score(
    waves(400), waves(400, seed=1), steps=300, seeds=1, seed=2
  )
  # Seeds follow each other, so that this is the third of those above.
  assert again[0] == pytest.approx(alike[2], abs=1e-6)


def test_unequal_numbers_give_nothing_away():
  # Untrained, it calls all of one kind the same: right on all of one set.
  same = np.full((50, 3, 2), 0.5)
  told = metrics.discriminative_score(same, same[:10], steps=0, seeds=2)
  np.testing.assert_allclose(told, 0, atol=1e-6)


def test_the_error_is_absolute_and_of_the_last_number():
  series = np.asarray(waves(20), np.float32)
  seen = series[:, :-1, :-1]
  reader = _Reader(1)  # of half of three numbers, rounded down
  variables = reader.init(jax.random.fold_in(jax.random.key(3), 0), seen)
  guess = nn.sigmoid(reader.apply(variables, seen))
  expected = np.abs(guess - series[:, 1:, -1]).mean()
  found = metrics.predictive_score(series, series, steps=0, seeds=1, seed=3)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_prediction_is_as_good_as_what_taught_it():
  # The last number is that of the first one step before.
  series = np.asarray(waves(300), np.float32)
  series[:, 1:, -1] = series[:, :-1, 0]
  taught = metrics.predictive_score(series, series, steps=1500, seeds=2)
  wrong = series.copy()
  wrong[..., -1] = 1 - wrong[..., -1]
  misled = metrics.predictive_score(wrong, series, steps=1500, seeds=2)
  deviation = np.abs(series[..., -1] - series[..., -1].mean()).mean()
  assert (taught < 0.7 * deviation).all()
  assert (misled > 1.5 * taught).all()


def test_one_number_predicts_itself():
  still = np.random.default_rng(0).uniform(0.1, 0.9, (200, 1, 1))
  still = still.repeat(5, 1)
  found = metrics.predictive_score(still, still, steps=1500, seeds=2)
  # The mean, if it saw nothing, is off by .2.
  assert (found < 0.12).all()


def test_principal_components_are_scikit_learns():
  real, fake = waves(50), waves(20, seed=1)
  pca = PCA(2).fit(real.mean(2))
  points = metrics.principal_components(real, fake)
  for found, series in zip(points, (real, fake), strict=True):
    expected = pca.transform(series.mean(2))
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-5)


@pytest.mark.parametrize(
  ('score', 'message'),
  [
    (lambda x: metrics.autocorrelation(x, 6), 'lags from 1 to 5.* got 6'),
    (
      lambda x: metrics.discriminative_score(x, x[:1]),
      'fake needs at least 2 samples',
    ),
    (lambda x: metrics.discriminative_score(x, x[..., :2]), 'must agree'),
    (lambda x: metrics.discriminative_score(x, x, seeds=0), 'seeds must be 1'),
    (lambda x: metrics.predictive_score(x, x * np.nan), 'test holds NaN'),
    (lambda x: metrics.predictive_score(x[:, :1], x[:, :1]), 'two steps'),
    (lambda x: metrics.principal_components(x[:0]), r'shape \[n, t, d\]'),
  ],
)
def test_mistakes_are_told(score, message):
  with pytest.raises(ValueError, match=message):
    score(waves(4))
