"""The Frechet distance against closed forms and torch-fidelity's values."""

import features
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.linalg
from jax.sharding import NamedSharding, PartitionSpec

from jgan.metrics import (
  Moments,
  add_features,
  frechet_distance,
  moment_sums,
  moments,
)


def in_batches(x, size):
  sums = moment_sums(x.shape[1])
  for i in range(0, len(x), size):
    sums = add_features(sums, x[i : i + size])
  return sums


def by_square_roots(real, fake):
  """The formula with matrix square roots of float64 covariances."""
  (a, b), (s, t) = zip(
    *(
      (x.mean(0, dtype=np.float64), np.cov(x, rowvar=False))
      for x in (real, fake)
    ),
    strict=True,
  )
  root = scipy.linalg.sqrtm(s @ t).real
  return ((a - b) ** 2).sum() + np.trace(s + t - 2 * root)


@pytest.mark.parametrize('name', features.SETS)
def test_agrees_with_torch_fidelity_and_matrix_square_roots(name):
  real, fake = features.SETS[name]()
  got = frechet_distance(real, fake)
  np.testing.assert_allclose(got, features.GOLDEN[name]['frechet'], rtol=1e-6)
  np.testing.assert_allclose(got, by_square_roots(real, fake), rtol=1e-6)


def test_commuting_covariances_in_closed_form():
  real = Moments(99, np.array([1.0, 2, 3]), np.diag([4.0, 9, 16]))
  fake = Moments(99, np.array([1.0, 4, 2]), np.diag([1.0, 9, 25]))
  # 0 + 4 + 1 of the means, (2 - 1)^2 + 0 + (4 - 5)^2 of the deviations.
  np.testing.assert_allclose(frechet_distance(real, fake), 7, rtol=1e-12)


def test_is_0_for_equal_sets_and_symmetric():
  real, fake = features.random()
  assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)
  there, back = frechet_distance(real, fake), frechet_distance(fake, real)
  np.testing.assert_allclose(there, back, rtol=1e-9)


def test_constant_and_dependent_features_add_nothing():
  rng = np.random.RandomState(0)
  real, fake = features.random(d=16)
  turn = np.linalg.qr(rng.normal(size=(64, 64)))[0][:16]
  plain = [moments(x) for x in (real, fake)]
  turned = [
    Moments(m.count, m.mean @ turn, turn.T @ m.covariance @ turn) for m in plain
  ]
  np.testing.assert_allclose(
    frechet_distance(*turned), frechet_distance(*plain), rtol=1e-9
  )


def test_moments_are_those_of_numpy():
  x = features.of_digits()[0]
  got = moments(x)
  assert got.count == len(x)
  assert got.mean.dtype == got.covariance.dtype == np.float64
  np.testing.assert_allclose(got.mean, x.mean(0, dtype=np.float64), rtol=1e-6)
  expected = np.cov(x, rowvar=False)
  np.testing.assert_allclose(got.covariance, expected, atol=1e-6)


@pytest.mark.parametrize('size', [1, 7, 500, 2000])
def test_a_stream_in_any_batches_has_the_same_moments(size):
  near = np.sort(features.random(n=500)[0], axis=0)  # later batches differ
  for x in (near, near + np.float32(1000)):  # whose sums around 0 would cancel
    got, mean = moments(in_batches(x, size)), x.mean(0, dtype=np.float64)
    np.testing.assert_allclose(got.mean, mean, rtol=1e-9, atol=1e-6)
    covariance = np.cov(x, rowvar=False)
    np.testing.assert_allclose(got.covariance, covariance, atol=1e-6)


def test_a_stream_keeps_what_float32_would_drop():
  sums = add_features(
    moment_sums(1), np.array([[4096.0], [-4096.0]], np.float32)
  )
  for i in range(100):
    sums = add_features(sums, np.full((1, 1), (-1.0) ** i, np.float32))
  # In float32, 2^25 + 1 is 2^25.
  assert moments(sums).covariance == (2**25 + 100) / 101


def test_a_stream_takes_no_more_memory_with_more_batches():
  x = jnp.asarray(features.random()[0])
  start = moment_sums(x.shape[1])
  shapes = jax.eval_shape(lambda s: add_features(s, x), start)
  assert shapes == jax.eval_shape(lambda: start)
  scanned, _ = jax.lax.scan(
    lambda s, batch: (add_features(s, batch), None),
    start,
    x.reshape(12, 100, -1),
  )
  np.testing.assert_allclose(
    moments(scanned).covariance, moments(x).covariance, atol=1e-6
  )


def test_a_stream_of_batches_sharded_over_devices():
  x = features.random(n=800)[0]
  mesh = jax.make_mesh(
    (8,), ('batch',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec('batch')))
  got = moments(in_batches(sharded, 400))
  np.testing.assert_allclose(got.covariance, np.cov(x, rowvar=False), atol=1e-6)


def test_takes_features_streams_and_moments_alike():
  real, fake = features.random()
  expected = frechet_distance(real, fake)
  for one in (jnp.asarray(real), in_batches(real, 100), moments(real)):
    for other in (fake.astype(np.float64), in_batches(fake, 300)):
      got = frechet_distance(one, other)
      np.testing.assert_allclose(got, expected, rtol=1e-6)


def spoilt(value):
  x = features.random()[1].copy()
  x[3, 5] = value
  return x


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_give_no_score(value):
  real = features.random()[0]
  with pytest.raises(ValueError, match='frechet_distance: fake holds NaN'):
    frechet_distance(real, spoilt(value))
  with pytest.raises(ValueError, match='moments: features holds NaN'):
    frechet_distance(real, in_batches(spoilt(value), 100))


@pytest.mark.parametrize(
  ('fake', 'message'),
  [
    (np.zeros((50, 7)), 'real has 48, fake has 7. Take all of them from one'),
    (np.ones((47, 48)), 'fake needs at least 48 samples .* got 47'),
    (np.ones((1, 48)), 'at least 2 samples .* got 1'),
    (np.ones((0, 48)), r'needs the shape \[n, d\].* got \[0, 48\]'),
    (np.ones(48), r'needs the shape \[n, d\].* got \[48\]'),
    (Moments(99, np.ones(48), np.eye(4)), r'got \[48\] and \[4, 4\]'),
  ],
)
def test_mistakes_give_no_score(fake, message, monkeypatch):
  # Users run without the shape checks of the tests.
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(ValueError, match=message):
    frechet_distance(features.random()[0], fake)


@pytest.mark.parametrize('shape', [(5, 1), (3,), (5, 4)])
def test_a_stream_takes_rows_of_its_dimension_alone(shape, monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(ValueError, match=r'add_features: .*\[n, 3\], .*got \['):
    add_features(moment_sums(3), np.ones(shape, np.float32))
