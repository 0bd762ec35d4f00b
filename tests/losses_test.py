"""Adversarial losses against hand, other libraries and finite differences."""

import functools
import math

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import scipy.special

from jgan import losses

PAIRS = {
  name: getattr(losses, name)
  for name in (
    'minimax',
    'non_saturating',
    'least_squares',
    'wasserstein',
    'hinge',
    'relativistic',
    'relativistic_average',
  )
}
SIDES = ('generator', 'discriminator')
BOTH = [(name, side) for name in PAIRS for side in SIDES]
FUNCTIONS = [
  getattr(losses, name) for name in dir(losses) if name.endswith('_loss')
]


def sigmoid(t):
  return 1 / (1 + np.exp(-t))


def cross_entropies(real, fake):
  return -np.log(sigmoid(real)) - np.log(1 - sigmoid(fake))


def relative(real, fake):
  """The probability that the real is the more real one."""
  return sigmoid(real - fake)


def average_cross_entropies(real, fake):
  return cross_entropies(real - fake.mean(0), fake - real.mean(0))


# (generator, discriminator), as the papers write them, in float64.
PAPERS = {
  'minimax': (lambda r, f: np.log(1 - sigmoid(f)), cross_entropies),
  'non_saturating': (lambda r, f: -np.log(sigmoid(f)), cross_entropies),
  'least_squares': (
    lambda r, f: (f - 1) ** 2 / 2,
    lambda r, f: (r - 1) ** 2 / 2 + f**2 / 2,
  ),
  'wasserstein': (lambda r, f: -f, lambda r, f: f - r),
  'hinge': (
    lambda r, f: -f,
    lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f),
  ),
  'relativistic': (
    lambda r, f: -np.log(1 - relative(r, f)),
    lambda r, f: -np.log(relative(r, f)),
  ),
  'relativistic_average': (
    lambda r, f: average_cross_entropies(f, r),
    average_cross_entropies,
  ),
}


def paper(name, side):
  return PAPERS[name][SIDES.index(side)]


def loss(name, side):
  return getattr(PAIRS[name], side)


def logits(shape, seed=0):
  rng = np.random.default_rng(seed)
  return 2 * rng.normal(size=shape), 2 * rng.normal(size=shape)


def single(*arrays):
  return [jnp.asarray(x, jnp.float32) for x in arrays]


# D(x) = log 3 and D(G(z)) = -log 3, where sigmoid is 3/4 and 1/4; their
# difference is 2 log 3, where it is 9/10.
LOG3 = math.log(3)
BY_HAND = {
  'minimax': (math.log(3 / 4), 2 * math.log(4 / 3)),
  'non_saturating': (math.log(4), 2 * math.log(4 / 3)),
  'least_squares': ((LOG3 + 1) ** 2 / 2, LOG3**2 + 1 / 2 - LOG3),
  'wasserstein': (LOG3, -2 * LOG3),
  'hinge': (LOG3, 0.0),
  'relativistic': (math.log(10), math.log(10 / 9)),
  'relativistic_average': (2 * math.log(10), 2 * math.log(10 / 9)),
}


@pytest.mark.parametrize(('name', 'side'), BOTH)
def test_value_worked_out_on_paper(name, side):
  got = loss(name, side)(*single([LOG3], [-LOG3]))
  expected = [BY_HAND[name][SIDES.index(side)]]
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('shape', [(7,), (4, 2, 3)])
@pytest.mark.parametrize(('name', 'side'), BOTH)
def test_formula_of_the_paper_elementwise(name, side, shape):
  real, fake = logits(shape)
  got = loss(name, side)(*single(real, fake))
  assert got.shape == shape
  expected = paper(name, side)(real, fake)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def cross_entropy(logits, target):
  return optax.losses.sigmoid_binary_cross_entropy(
    logits, jnp.full_like(logits, target)
  )


def squared(logits, target):
  return optax.losses.l2_loss(logits, jnp.full_like(logits, target))


def hinge(logits, target):
  return optax.losses.hinge_loss(logits, jnp.full_like(logits, target))


# The same values said with other libraries' functions of two targets.
LIBRARIES = {
  ('minimax', 'generator'): lambda r, f: -cross_entropy(f, 0.0),
  ('minimax', 'discriminator'): lambda r, f: (
    cross_entropy(r, 1.0) + cross_entropy(f, 0.0)
  ),
  ('non_saturating', 'generator'): lambda r, f: cross_entropy(f, 1.0),
  ('non_saturating', 'discriminator'): lambda r, f: (
    -scipy.special.log_expit(r) - scipy.special.log_expit(-f)
  ),
  ('least_squares', 'generator'): lambda r, f: squared(f, 1.0),
  ('least_squares', 'discriminator'): lambda r, f: (
    squared(r, 1.0) + squared(f, 0.0)
  ),
  ('hinge', 'discriminator'): lambda r, f: hinge(r, 1.0) + hinge(f, -1.0),
  ('relativistic', 'generator'): lambda r, f: -scipy.special.log_expit(f - r),
  ('relativistic', 'discriminator'): lambda r, f: cross_entropy(r - f, 1.0),
  ('relativistic_average', 'generator'): lambda r, f: (
    cross_entropy(f - r.mean(), 1.0) + cross_entropy(r - f.mean(), 0.0)
  ),
  ('relativistic_average', 'discriminator'): lambda r, f: (
    -scipy.special.log_expit(r - f.mean())
    - scipy.special.log_expit(r.mean() - f)
  ),
}


@pytest.mark.parametrize('pair', LIBRARIES, ids='-'.join)
def test_agrees_with_other_libraries(pair):
  real, fake = single(*logits((64,), seed=1))
  expected = LIBRARIES[pair](10 * real, 10 * fake)  # also far into the tails
  got = loss(*pair)(10 * real, 10 * fake)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@functools.partial(jax.jit, static_argnums=0)
def gradients(function, real, fake):
  """Of the summed losses, with respect to both kinds of logits."""
  return jax.grad(lambda *rf: function(*rf).sum(), (0, 1))(real, fake)


@pytest.mark.parametrize(('name', 'side'), BOTH)
def test_gradients_are_central_differences(name, side):
  arrays = logits((5,), seed=2)
  got = gradients(loss(name, side), *single(*arrays))
  for which in range(2):
    for i in range(5):
      sums = []
      for change in (1e-5, -1e-5):
        moved = [x.copy() for x in arrays]
        moved[which][i] += change
        sums.append(paper(name, side)(*moved).sum())
      expected = (sums[0] - sums[1]) / 2e-5
      np.testing.assert_allclose(got[which][i], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('a', 'b', 'c'), [(0, 1, 1), (-1, 1, 0), (0.1, 2, 3)])
def test_labels_of_least_squares_are_arguments(a, b, c):
  real, fake = logits((6,))
  generator = losses.least_squares_generator_loss(
    *single(real, fake), generator_label=float(c)
  )
  np.testing.assert_allclose(generator, (fake - c) ** 2 / 2, rtol=1e-5)
  discriminator = losses.least_squares_discriminator_loss(
    *single(real, fake), real_label=float(b), fake_label=float(a)
  )
  expected = ((real - b) ** 2 + (fake - a) ** 2) / 2
  np.testing.assert_allclose(discriminator, expected, rtol=1e-5)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize(('name', 'side'), BOTH)
def test_finite_at_huge_logits_and_of_their_dtype(name, side, dtype):
  huge = 1e4 * np.array([1, 1, -1, -1]), 1e4 * np.array([1, -1, 1, -1])
  real, fake = (jnp.asarray(x, dtype) for x in huge)
  value = loss(name, side)(real, fake)
  for x in (value, *gradients(loss(name, side), real, fake)):
    assert x.dtype == dtype
    assert jnp.isfinite(x).all()


@pytest.mark.parametrize(('name', 'side'), BOTH)
def test_which_logits_a_loss_reads(name, side):
  by_real, by_fake = gradients(loss(name, side), *single([0.3, -2], [0.5, 1.5]))
  assert (by_fake != 0).all()
  reads_reals = side == 'discriminator' or name.startswith('relativistic')
  assert ((by_real != 0) == reads_reals).all()


@pytest.mark.parametrize(('name', 'side'), BOTH)
def test_only_differences_count_in_relativistic_games(name, side):
  real, fake = single(*logits((5,)))
  moved = loss(name, side)(real + 3, fake + 3)
  same = np.allclose(moved, loss(name, side)(real, fake), atol=1e-5)
  critic = (name, side) == ('wasserstein', 'discriminator')
  assert same == (name.startswith('relativistic') or critic)


@pytest.mark.parametrize('name', ['relativistic', 'relativistic_average'])
def test_relativistic_players_exchange_roles(name):
  real, fake = single(*logits((4, 2)))
  np.testing.assert_array_equal(
    PAIRS[name].generator(real, fake), PAIRS[name].discriminator(fake, real)
  )


def test_minimax_is_a_zero_sum_game_in_the_fakes():
  real, fake = single(*logits((5,)))
  _, by_fake = gradients(losses.minimax.generator, real, fake)
  _, against = gradients(losses.minimax.discriminator, real, fake)
  np.testing.assert_allclose(by_fake, -against, rtol=1e-6)


def test_average_game_treats_each_patch_for_itself():
  real, fake = single(*logits((5, 2, 3)))
  whole = losses.relativistic_average.discriminator(real, fake)
  patch = losses.relativistic_average.discriminator(
    real[:, 1, 2], fake[:, 1, 2]
  )
  np.testing.assert_allclose(whole[:, 1, 2], patch, rtol=1e-6)


@pytest.mark.parametrize(
  ('name', 'expected'), [('minimax', 0.0), ('non_saturating', -1.0)]
)
def test_generator_under_a_sure_discriminator(name, expected):
  _, slope = gradients(PAIRS[name].generator, *single([30.0], [-30.0]))
  np.testing.assert_allclose(slope, [expected], atol=1e-6)


@pytest.mark.parametrize('function', FUNCTIONS, ids=lambda f: f.__name__)
def test_other_shapes_are_refused(function, monkeypatch):
  # Users run without the shape checks of the tests.
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  message = rf'{function.__name__}: .*got \(3, 1\) and \(3,\)'
  with pytest.raises(ValueError, match=message):
    function(jnp.zeros((3, 1)), jnp.zeros(3))
  with pytest.raises(ValueError, match=r'got \(2, 4\) and \(2, 1\)'):
    function(jnp.zeros((2, 4)), jnp.zeros((2, 1)))


def test_every_loss_is_of_a_pair():
  paired = {loss(name, side).__name__ for name, side in BOTH}
  assert paired == {function.__name__ for function in FUNCTIONS}
