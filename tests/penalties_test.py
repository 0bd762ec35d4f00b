"""Gradient penalties against closed forms and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgan import penalties

REAL, FAKE = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)))
WEIGHT = np.array([2.0, -1.0, 2.0], 'float32')  # of norm 3
MATRIX = np.array([[2, 1, 0], [1, -1, 0.5], [0, 0.5, 1]], 'float32')


def linear(x):
  return x @ WEIGHT


def quadratic(x):
  return 0.5 * ((x @ MATRIX) * x).sum(-1)  # of gradient x @ MATRIX


def half_square(x):
  return 0.5 * (x**2).sum(-1)  # of gradient x


def keys(n=5, seed=0):
  return jax.random.split(jax.random.key(seed), n)


def squares(x):
  return (np.asarray(x, 'float64') ** 2).sum(-1)


@pytest.mark.parametrize('penalty', [penalties.r1, penalties.r2])
def test_squared_norm_for_each_example(penalty):
  np.testing.assert_allclose(penalty(linear, REAL), 5 * [9.0], rtol=1e-6)
  np.testing.assert_allclose(
    penalty(quadratic, REAL), squares(REAL @ MATRIX), rtol=1e-5
  )


@pytest.mark.parametrize(
  ('options', 'expected'),
  [
    ({}, 4.0),
    ({'target': 0.0}, 9.0),
    ({'target': 5.0}, 4.0),
    ({'one_sided': True}, 4.0),
    ({'target': 5.0, 'one_sided': True}, 0.0),
  ],
)
def test_distance_of_the_norm_to_the_target(options, expected):
  gp = penalties.gradient_penalty(linear, REAL, FAKE, keys(), **options)
  dragan = penalties.dragan(linear, REAL, keys(), **options)
  np.testing.assert_allclose(gp, 5 * [expected], rtol=1e-5)
  np.testing.assert_allclose(dragan, 5 * [expected], rtol=1e-5)


def test_gradient_penalty_between_pairs():
  got = penalties.gradient_penalty(quadratic, REAL, FAKE, keys())
  epsilon = np.stack([jax.random.uniform(key) for key in keys()])[:, None]
  between = epsilon * REAL + (1 - epsilon) * FAKE
  expected = (np.sqrt(squares(between @ MATRIX)) - 1) ** 2
  np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_place_between_a_pair_is_uniform():
  n = 2000
  # From 0 to 1, where the gradient's norm is the place.
  squared = penalties.gradient_penalty(
    half_square, jnp.ones((n, 1)), jnp.zeros((n, 1)), keys(n), target=0.0
  )
  place = np.sqrt(squared)
  np.testing.assert_allclose(
    np.quantile(place, [0, 0.25, 0.5, 0.75, 1]),
    [0, 0.25, 0.5, 0.75, 1],
    atol=0.03,
  )


@pytest.mark.parametrize('options', [{}, {'std': 1.5}])
def test_dragan_perturbs_by_normal_noise(options):
  got = penalties.dragan(quadratic, REAL, keys(), **options)
  noise = np.stack([jax.random.normal(key, (3,)) for key in keys()])
  cloud = REAL + options.get('std', 0.25) * noise
  expected = (np.sqrt(squares(cloud @ MATRIX)) - 1) ** 2
  np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_deviation_of_dragans_noise():
  # Around 0, where the gradient is the noise.
  squared = penalties.dragan(
    half_square, jnp.zeros((4000, 1)), keys(4000), std=0.5, target=0.0
  )
  assert np.sqrt(squared.mean()) == pytest.approx(0.5, rel=0.05)
  within = (np.sqrt(squared) < 0.5).mean()
  assert within == pytest.approx(0.6827, abs=0.03)  # of a normal: one sigma


@pytest.mark.parametrize(
  'penalty',
  [
    lambda key: penalties.gradient_penalty(quadratic, REAL, FAKE, key),
    lambda key: penalties.dragan(quadratic, REAL, key),
  ],
)
def test_one_key_is_folded_by_position(penalty):
  key = jax.random.key(3)
  each = jnp.stack([jax.random.fold_in(key, i) for i in range(5)])
  each = jax.random.clone(each)  # the check takes a stacked key for used
  np.testing.assert_array_equal(penalty(key), penalty(each))


def tanh_critic(params):
  return lambda x: jnp.tanh(x @ params['w']) @ params['v']


def slopes(params, x):
  """The tanh critic's gradient with respect to x, by hand."""
  inner = 1 - np.tanh(np.asarray(x, 'float64') @ params['w']) ** 2
  return (inner * params['v']) @ params['w'].T


def between():
  epsilon = np.stack([jax.random.uniform(key) for key in keys()])[:, None]
  return epsilon * REAL + (1 - epsilon) * FAKE


def cloud():
  noise = np.stack([jax.random.normal(key, (3,)) for key in keys()])
  return REAL + 0.25 * noise


# penalty of a critic, where it looks, what it charges for the squared norm
DIFFERENTIATED = {
  'r1': (lambda d: penalties.r1(d, REAL), lambda: REAL, lambda s: s),
  'r2': (lambda d: penalties.r2(d, FAKE), lambda: FAKE, lambda s: s),
  'gradient_penalty': (
    lambda d: penalties.gradient_penalty(d, REAL, FAKE, keys()),
    between,
    lambda s: (np.sqrt(s) - 1) ** 2,
  ),
  'one_sided': (
    lambda d: penalties.gradient_penalty(d, REAL, FAKE, keys(), one_sided=True),
    between,
    lambda s: np.maximum(np.sqrt(s) - 1, 0) ** 2,
  ),
  'dragan': (
    lambda d: penalties.dragan(d, REAL, keys()),
    cloud,
    lambda s: (np.sqrt(s) - 1) ** 2,
  ),
}


@pytest.mark.parametrize('name', DIFFERENTIATED)
def test_gradients_for_the_critic_are_central_differences(name):
  penalty, where, charge = DIFFERENTIATED[name]
  rng = np.random.default_rng(1)
  params = {'w': rng.normal(size=(3, 4)), 'v': rng.normal(size=4)}
  got = jax.jit(jax.grad(lambda p: penalty(tanh_critic(p)).sum()))(
    jax.tree.map(jnp.float32, params)
  )
  points = where()
  for leaf, entry in [('w', (0, 1)), ('w', (2, 3)), ('v', (2,))]:
    sums = []
    for change in (1e-5, -1e-5):
      moved = {k: x.copy() for k, x in params.items()}
      moved[leaf][entry] += change
      sums.append(charge(squares(slopes(moved, points))).sum())
    expected = (sums[0] - sums[1]) / 2e-5
    np.testing.assert_allclose(got[leaf][entry], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('name', DIFFERENTIATED)
def test_gradients_are_finite_where_the_critic_is_flat(name):
  penalty, _, charge = DIFFERENTIATED[name]
  flat = {'w': jnp.zeros((3, 4)), 'v': jnp.zeros(4)}
  value, slope = jax.jit(
    jax.value_and_grad(lambda p: penalty(tanh_critic(p)).mean())
  )(flat)
  assert float(value) == charge(0.0)
  assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(slope))


@pytest.mark.parametrize('name', DIFFERENTIATED)
def test_critic_in_bfloat16(name):
  penalty, where, charge = DIFFERENTIATED[name]
  params = {'w': np.eye(3, 4), 'v': np.array([2.0, -1.0, 0.5, 3.0])}
  low = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), params)
  got = penalty(lambda x: tanh_critic(low)(x.astype(jnp.bfloat16)))
  assert got.dtype == jnp.float32
  expected = charge(squares(slopes(params, where())))
  np.testing.assert_allclose(got, expected, rtol=0.05, atol=0.05)


def test_long_sums_are_taken_in_float32():
  # In bfloat16 the sum of ones stops at 256.
  ones = jnp.ones((2, 10_000), jnp.bfloat16)
  got = penalties.r1(lambda x: x.sum(1), ones)
  np.testing.assert_array_equal(got, [10_000, 10_000])
  between = penalties.gradient_penalty(
    lambda x: x.sum(1), ones, ones, keys(2), target=0.0
  )
  np.testing.assert_allclose(between, [10_000, 10_000], rtol=1e-6)


@pytest.mark.parametrize(
  'penalty',
  [
    lambda d, x: penalties.r1(d, x),
    lambda d, x: penalties.gradient_penalty(d, x, x, keys(2), target=0.0),
    lambda d, x: penalties.dragan(d, x, keys(2), target=0.0),
  ],
)
def test_patches_are_summed(penalty):
  # Each of 4 x 5 patches reads the three channels of its own pixel.
  got = penalty(lambda x: x @ WEIGHT, jnp.ones((2, 4, 5, 3)))
  np.testing.assert_allclose(got, 2 * [20 * 9.0], rtol=1e-5)


def test_other_shapes_are_refused():
  message = r'gradient_penalty: .*one shape, got \(5, 3\) and \(5, 1\)'
  with pytest.raises(ValueError, match=message):
    penalties.gradient_penalty(linear, REAL, FAKE[:, :1], keys())


def test_old_style_keys_and_wrong_numbers_of_keys():
  def critic(x):
    return x.sum(1)

  x = jnp.ones((3, 2))
  old = penalties.dragan(lambda x: (x**2).sum(1), x, jax.random.PRNGKey(1))
  new = penalties.dragan(lambda x: (x**2).sum(1), x, jax.random.key(1))
  np.testing.assert_array_equal(old, new)
  keys = jax.random.split(jax.random.key(0), 2)
  with pytest.raises(ValueError, match='one for each of 3 examples'):
    penalties.gradient_penalty(critic, x, 2 * x, keys)


def test_a_penalty_of_what_is_no_number_is_none():
  real = jnp.ones((2, 3))
  got = penalties.dragan(lambda x: jnp.nan * x.sum(1), real, jax.random.key(0))
  assert np.isnan(got).all()
