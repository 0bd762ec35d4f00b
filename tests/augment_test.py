"""Augmentations against numpy, each with its own random numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import perceptrons
import pytest

import jgan
from jgan import augment

IMAGE = np.random.default_rng(0).uniform(-1, 1, (8, 6, 3)).astype('float32')
KEYS = jax.random.split(jax.random.key(4), 64)
EVERY = (*augment.color, augment.translation, augment.cutout)


def many(transform, image=IMAGE, keys=KEYS):
  """One picture, transformed with each of the keys."""
  keys = jax.random.clone(keys)
  made = jax.jit(jax.vmap(transform, (None, 0)))(image, keys)
  return np.asarray(made)


def test_brightness_adds_one_number_to_a_picture():
  added = many(augment.brightness) - IMAGE
  assert added.std((1, 2, 3)).max() < 1e-6
  shifts = added.mean((1, 2, 3))
  assert -0.5 <= shifts.min() < -0.4
  assert 0.4 < shifts.max() < 0.5


@pytest.mark.parametrize(
  ('transform', 'axes', 'low', 'high'),
  [(augment.saturation, -1, 0, 2), (augment.contrast, None, 0.5, 1.5)],
)
def test_colour_scales_the_distance_from_a_mean(transform, axes, low, high):
  mean = IMAGE.mean(axes, keepdims=True)
  factors = (many(transform) - mean) / (IMAGE - mean)
  assert np.ptp(factors, (1, 2, 3)).max() < 1e-2
  factors = np.median(factors, (1, 2, 3))
  margin = 0.1 * (high - low)
  assert low <= factors.min() < low + margin
  assert high - margin < factors.max() < high


def test_colour_leaves_grey_pictures_grey():
  grey = np.repeat(IMAGE[..., :1], 3, -1)
  for transform in augment.color:
    made = many(transform, grey)
    np.testing.assert_allclose(made[..., :1], made[..., 2:], atol=1e-6)


def test_translation_shifts_and_brings_zeros_in():
  # An eighth of 8 and of 6 pixels is one.
  padded = np.pad(IMAGE, [(1, 1), (1, 1), (0, 0)])
  possible = [padded[i : i + 8, j : j + 6] for i in range(3) for j in range(3)]
  seen = [
    [np.array_equal(made, shifted) for shifted in possible].index(True)
    for made in many(augment.translation)
  ]
  assert set(seen) == set(range(9))


def test_no_translation_is_the_identity():
  still = functools.partial(augment.translation, ratio=0.0)
  np.testing.assert_array_equal(many(still), np.stack([IMAGE] * len(KEYS)))


def test_cutout_is_one_rectangle_of_zeros():
  seen = set(), set()
  for made in many(augment.cutout):
    cut = (made == 0).all(-1)
    np.testing.assert_array_equal(made[~cut], IMAGE[~cut])
    rows, columns = cut.any(1), cut.any(0)
    np.testing.assert_array_equal(cut, np.outer(rows, columns))
    for spans, side in zip(seen, (rows, columns), strict=True):
      at = np.flatnonzero(side)
      assert (np.diff(at) == 1).all()  # without gaps
      spans.add((int(at[0]), int(at[-1])))
  # Half of 8 and of 6 pixels, less what lies beyond the edge: about the edges
  # of pixels, the outermost too, and about the middles of pixels.
  assert seen[0] == {(max(i - 2, 0), min(i + 1, 7)) for i in range(9)}
  assert seen[1] == {(max(i - 1, 0), min(i + 1, 5)) for i in range(6)}


def test_every_pixel_is_cut_out_sometimes():
  keys = jax.random.split(jax.random.key(9), 500)
  share = (many(augment.cutout, keys=keys) == 0).all(-1).mean(0)
  assert 0.05 < share.min() <= share.max() < 0.4


def test_chain_draws_for_each_example_and_each_transformation():
  twice = augment.chain(augment.brightness, augment.brightness)
  images = jnp.stack([IMAGE] * 4)
  keys = jax.random.split(jax.random.key(1), 4)
  made = np.asarray(twice(images, keys)) - images
  first = np.asarray(
    augment.chain(augment.brightness)(images, jax.random.clone(keys))
  )
  first -= images
  shifts, firsts = made.mean((1, 2, 3)), first.mean((1, 2, 3))
  assert len(np.unique(shifts.round(5))) == 4
  assert not np.allclose(shifts, 2 * firsts, atol=1e-3)


def test_chain_of_nothing_is_the_identity():
  images = jnp.asarray(IMAGE)[None]
  same = augment.chain()(images, jax.random.split(jax.random.key(0), 1))
  np.testing.assert_array_equal(same, images)


@pytest.mark.parametrize('transform', EVERY)
def test_gradients_are_central_differences(transform):
  weights = np.random.default_rng(2).normal(size=IMAGE.shape).astype('float32')
  direction = np.random.default_rng(3).normal(size=IMAGE.shape)
  direction = direction.astype('float32')

  @jax.jit
  def value(image):
    return (transform(image, jax.random.key(2)) * weights).sum()

  slope = (jax.grad(value)(IMAGE) * direction).sum()
  step = 0.05  # all are linear in the picture
  difference = value(IMAGE + step * direction) - value(IMAGE - step * direction)
  assert float(slope) == pytest.approx(float(difference) / (2 * step), rel=1e-3)


@pytest.mark.parametrize('transform', EVERY)
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_shape_and_dtype_stay(transform, dtype):
  made = jax.eval_shape(transform, jnp.asarray(IMAGE, dtype), jax.random.key(0))
  assert (made.shape, made.dtype) == (IMAGE.shape, dtype)


def test_instance_noise_is_as_large_as_its_schedule_says():
  noise, tracker = augment.instance_noise(lambda moves: 0.5 / (1 + moves))
  zeros, tracked = np.zeros((64, 5, 3), 'float32'), tracker.start

  def noised(samples):
    return np.asarray(jax.jit(noise)(samples, jax.random.clone(KEYS), tracked))

  for size in (0.5, 0.25):
    made = noised(zeros)
    assert made.std() == pytest.approx(size, rel=0.1)
    assert abs(made[0] - made[1]).min() > 0  # each by its own key
    np.testing.assert_allclose(noised(zeros + 2), made + 2, rtol=1e-5)
    tracked = tracker.update(tracked, None, None)


def test_instance_noise_fades_with_the_moves_of_a_game():
  noise, tracker = augment.instance_noise(optax.linear_schedule(1.0, 0.0, 2))
  plain = perceptrons.game()
  noised = perceptrons.game(augment=noise, tracker=tracker)
  batch, key = {'x': IMAGE.reshape(-1, 4)}, jax.random.key(1)

  def step(gan, state):
    state, metrics = jgan.train_step(gan, state, batch, jax.random.clone(key))
    return state, float(metrics['discriminator/loss'])

  state = jgan.init(noised, jax.random.key(0), batch)
  for moves in range(3):
    players = state.variables
    assert players['discriminator']['tracked'] == {'moves': moves}
    bare = {name: {'params': own['params']} for name, own in players.items()}
    _, without = step(plain, state._replace(variables=bare))
    state, found = step(noised, state)
    assert (found == pytest.approx(without, rel=1e-6)) == (moves == 2)
