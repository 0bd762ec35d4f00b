"""The pipeline's parts against numpy, and how p adapts in a game."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan import ada

IMAGE = np.random.default_rng(0).uniform(-1, 1, (16, 16, 3)).astype('float32')
SMOOTH = np.asarray(
  jax.image.resize(IMAGE[:4, :4], (16, 16, 3), 'cubic'), 'float32'
)
KEYS = jax.random.split(jax.random.key(4), 64)
NAMES = ada.Strengths._fields


def only(name):
  return ada.Strengths(**{name: 1.0})


@functools.cache
def compiled(name):
  return jax.jit(ada.per_example(only(name)))


@functools.cache
def many(name, p=1.0):
  """`IMAGE` through one transformation, by each key."""
  images = jnp.stack([IMAGE] * len(KEYS))
  keys = jax.random.clone(KEYS)
  return np.asarray(compiled(name)(images, keys, jnp.float32(p)))


def resampled(image, matrix):
  return np.asarray(ada._resampled(jnp.asarray(image), jnp.asarray(matrix)))


def test_identity_at_zero_to_the_last_bit():
  images = jnp.stack([IMAGE] * len(KEYS))
  augment = jax.jit(ada.per_example(ada.everything))
  same = augment(images, jax.random.clone(KEYS), jnp.float32(0))
  np.testing.assert_array_equal(same, images)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('channels', [1, 3])
def test_nothing_is_left_to_dtype_promotion(channels, dtype):
  images = jnp.zeros((2, 8, 8, channels), dtype)
  augment, tracker = ada.adaptive(ada.everything, batch_size=2)
  with jax.numpy_dtype_promotion('strict'):
    made = jax.eval_shape(
      augment, images, jax.random.clone(KEYS)[:2], tracker.start
    )
    logits = jnp.zeros(2)
    tracked = jax.eval_shape(tracker.update, tracker.start, logits, logits)
  assert (made.shape, made.dtype) == (images.shape, dtype)
  assert tracked == jax.eval_shape(lambda: tracker.start)


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_each_happens_with_its_probability(name):
  changed = (many(name) != IMAGE).any((1, 2, 3)).mean()
  # Where one of two, four or nine times nine draws is the identity.
  floor = {'flip': 0.3, 'luma_flip': 0.3, 'quarter_turns': 0.55}.get(name, 0.9)
  ceiling = {'flip': 0.7, 'luma_flip': 0.7, 'quarter_turns': 0.95}.get(name, 1)
  assert floor <= changed <= ceiling
  assert (many(name, 0.1) != IMAGE).any((1, 2, 3)).mean() < 0.5 * changed


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_gradients_are_central_differences(name):
  weights = np.random.default_rng(2).normal(size=IMAGE.shape).astype('float32')
  way = np.random.default_rng(3).normal(size=IMAGE.shape).astype('float32')

  @jax.jit
  def value(image):
    moved = ada.transform(image, jax.random.key(8), 1.0, only(name))
    return (moved * weights).sum()

  slope = (jax.grad(value)(IMAGE) * way).sum()
  step = 0.05  # all are affine in the picture
  difference = value(IMAGE + step * way) - value(IMAGE - step * way)
  assert float(slope) == pytest.approx(
    float(difference) / (2 * step), rel=1e-3, abs=1e-2
  )


def test_blits_move_pixels_and_change_none():
  flipped, turned = (
    [IMAGE, IMAGE[:, ::-1]],
    [np.rot90(IMAGE, i) for i in range(4)],
  )
  edges = np.pad(IMAGE, [(2, 2), (2, 2), (0, 0)], 'symmetric')
  shifted = [edges[i : i + 16, j : j + 16] for i in range(5) for j in range(5)]
  for name, possible in (
    ('flip', flipped),
    ('quarter_turns', turned),
    ('integer_shift', shifted),
  ):
    seen = {
      [np.array_equal(made, one) for one in possible].index(True)
      for made in many(name)
    }
    assert len(seen) > 0.6 * len(possible), name


def test_resampling_by_the_unit_matrix_is_the_identity():
  np.testing.assert_allclose(resampled(IMAGE, np.eye(3)), IMAGE, atol=1e-6)
  wide = IMAGE[:, :10]
  np.testing.assert_allclose(resampled(wide, np.eye(3)), wide, atol=1e-6)


@pytest.mark.parametrize('turns', range(4))
def test_resampling_by_quarter_turns(turns):
  matrix = ada._rotated(jnp.float32(turns * math.pi / 2))
  np.testing.assert_allclose(
    resampled(SMOOTH, matrix), np.rot90(SMOOTH, -turns), atol=0.04
  )


def test_resampling_and_its_inverse():
  there = ada._rotated(jnp.float32(0.3)) @ ada._scaled(
    jnp.float32(1.2), jnp.float32(1.1)
  )
  back = resampled(resampled(SMOOTH, there), jnp.linalg.inv(there))
  inner = slice(4, 12)
  np.testing.assert_allclose(
    back[inner, inner], SMOOTH[inner, inner], atol=0.06
  )


def test_resampling_by_whole_pixels_continues_the_mirror_image():
  matrix = jnp.eye(3).at[0, 2].set(3).at[1, 2].set(-5)
  edges = np.pad(SMOOTH, [(8, 8), (8, 8), (0, 0)], 'symmetric')
  np.testing.assert_allclose(
    resampled(SMOOTH, matrix), edges[11:27, 3:19], atol=0.02
  )
  far = jnp.eye(3).at[0, 2].set(32)  # a whole period of the mirror images
  np.testing.assert_allclose(resampled(SMOOTH, far), SMOOTH, atol=0.05)


def test_scaling_enlarges_about_the_middle():
  ramp = np.linspace(-1, 1, 16, dtype='float32')[:, None, None]
  ramp = ramp * np.ones((1, 16, 3), 'float32')
  made = resampled(ramp, ada._scaled(jnp.float32(2), jnp.float32(1)))
  np.testing.assert_allclose(made[4:12], ramp[4:12] / 2, atol=1e-3)


def test_colours_leave_what_they_should():
  luma, made = IMAGE.mean(-1), {n: many(n) for n in NAMES[7:12]}
  np.testing.assert_allclose(
    made['hue'].mean(-1), luma[None] * np.ones((64, 1, 1)), atol=1e-5
  )
  np.testing.assert_allclose(
    made['saturation'].mean(-1), luma[None] * np.ones((64, 1, 1)), atol=1e-5
  )
  length = np.linalg.norm(IMAGE, axis=-1)
  for name in ('hue', 'luma_flip'):
    np.testing.assert_allclose(
      np.linalg.norm(made[name], axis=-1),
      length[None] * np.ones((64, 1, 1)),
      atol=1e-5,
    )
  flipped = [x for x in made['luma_flip'] if not np.array_equal(x, IMAGE)]
  np.testing.assert_allclose(flipped[0].mean(-1), -luma, atol=1e-5)
  np.testing.assert_allclose(
    flipped[0] - flipped[0].mean(-1, keepdims=True),
    IMAGE - luma[..., None],
    atol=1e-5,
  )
  assert np.ptp(made['brightness'] - IMAGE, (1, 2, 3)).max() < 1e-6
  assert np.ptp(made['contrast'] / IMAGE, (1, 2, 3)).max() < 1e-3


def test_turns_of_the_hue_add_up():
  third = np.asarray(ada._turned(jnp.float32(2 * math.pi / 3)))
  np.testing.assert_allclose(np.abs(third).max(0), 1, atol=1e-6)  # R to G to B
  np.testing.assert_allclose(third @ third @ third, np.eye(3), atol=1e-5)


def test_grey_pictures_take_the_mean_of_the_colours():
  grey, key = IMAGE[..., :1], jax.random.key(3)
  for name in NAMES[7:12]:
    one = ada.transform(jnp.asarray(grey), key, 1.0, only(name))
    three = ada.transform(
      jnp.asarray(np.repeat(grey, 3, -1)),
      jax.random.clone(key),
      1.0,
      only(name),
    )
    np.testing.assert_allclose(one[..., 0], three.mean(-1), atol=1e-5)


def test_the_filter_keeps_the_power_of_a_natural_picture():
  image = np.random.default_rng(0).normal(size=(8, 8, 1)).astype('float32')
  draws, gains = ada._Draws(jax.random.key(3), 1.0), np.ones(4)
  for band in range(4):
    assert draws.happens(1.0)
    own = np.ones(4)
    own[band] = draws.octaves(1.0)
    # Ten parts in thirteen of the power are in the lowest band.
    gains *= own / np.sqrt(np.array([10, 1, 1, 1]) @ own**2 / 13)
  matrix = np.tensordot(gains, ada._bands(8), 1)
  expected = np.einsum('ai,ijc,bj->abc', matrix, image, matrix)
  strengths = ada.Strengths(image_filter=1.0)
  got = ada._filter(jnp.asarray(image), jax.random.key(3), 1.0, strengths)
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_bands_add_up_and_part_the_octaves():
  bands = ada._bands(64)
  np.testing.assert_allclose(bands.sum(0), np.eye(64), atol=1e-12)
  place = np.arange(64)
  for band, period in enumerate((40, 12, 6, 2.2)):
    wave = np.cos(2 * np.pi * place / period)
    shares = [np.linalg.norm((b @ wave)[16:48]) for b in bands]
    assert int(np.argmax(shares)) == band


def test_noise_is_of_a_half_normal_deviation():
  deviations = (many('noise') - IMAGE).std((1, 2, 3))
  assert deviations.mean() == pytest.approx(
    0.1 * math.sqrt(2 / math.pi), rel=0.25
  )


def test_cutout_is_one_square_of_half_the_side():
  areas = [(made == 0).all(-1).sum() for made in many('cutout')]
  assert max(areas) == 64
  assert min(areas) >= 16


def test_a_strength_scales_the_probability():
  strengths = ada.Strengths(brightness=0.5)
  augment = jax.jit(ada.per_example(strengths))
  keys = jax.random.split(jax.random.key(9), 400)
  made = augment(jnp.zeros((400, 4, 4, 1)), keys, jnp.float32(0.5))
  assert 0.15 < float((made != 0).any((1, 2, 3)).mean()) < 0.35


def test_shapes_that_do_not_suit_are_refused():
  key = jax.random.key(0)
  with pytest.raises(ValueError, match=r'square pictures, got \[4, 6\]'):
    ada.transform(jnp.zeros((4, 6, 3)), key, 0.5)
  with pytest.raises(ValueError, match='1 or 3 channels, got 2'):
    ada.transform(jnp.zeros((4, 4, 2)), key, 0.5, only('hue'))


@pytest.mark.parametrize('wrong', ['batch_size', 'images', 'interval'])
def test_what_is_not_positive_is_refused(wrong):
  with pytest.raises(ValueError, match=f'positive numbers.*{wrong}=0'):
    ada.adaptive(**{'batch_size': 4, wrong: 0})


def test_p_grows_while_the_discriminator_knows_the_reals():
  _, tracker = ada.adaptive(batch_size=10, images=100, interval=2)
  sure, unsure = jnp.ones(10), jnp.tile(jnp.float32([1, -1]), 5)
  tracked, seen = tracker.start, []
  for logits in [sure] * 20 + [unsure] * 24:
    tracked = tracker.update(tracked, logits, -logits)
    seen.append(float(tracked['p']))
  # By 2 * 10 / 100 in every other move, and not beyond 1 and 0.
  assert seen[:6] == pytest.approx([0, 0.2, 0.2, 0.4, 0.4, 0.6])
  assert max(seen) == pytest.approx(1)
  assert seen[19:24] == pytest.approx([1, 1, 0.8, 0.8, 0.6])
  assert seen[-1] == 0


@pytest.mark.slow
def test_p_is_part_of_the_state():
  augment, tracker = ada.adaptive(
    only('brightness'), batch_size=4, target=-1.5, images=16, interval=1
  )
  gan = jgan.models.dcgan(8, width=4, augment=augment, tracker=tracker)
  batch = {'image': jnp.zeros((4, 8, 8, 1))}
  state = jgan.init(gan, jax.random.key(0), batch)
  for step in range(3):
    state, metrics = jgan.train_step(gan, state, batch, jax.random.key(1))
    tracked = state.variables['discriminator']['tracked']
    assert float(tracked['p']) == pytest.approx(0.25 * (step + 1))
  assert np.isfinite(float(metrics['generator/loss']))


def test_integer_shifts_go_as_far_either_way():
  rows, columns = np.mgrid[:12.0, :20.0]
  image = np.stack([rows, columns, 0 * rows], -1)
  keys = jax.random.split(jax.random.key(7), 200)
  images = jnp.broadcast_to(jnp.float32(image)[None], (200, *image.shape))
  shifted = jax.jit(ada.per_example(only('integer_shift')))(images, keys, 1.0)
  # An eighth of the sides is 1.5 and 2.5: at most 2 and 3 pixels.
  down, right = 6 - shifted[:, 6, 10, 0], 10 - shifted[:, 6, 10, 1]
  assert {int(x) for x in down} == set(range(-2, 3))
  assert {int(x) for x in right} == set(range(-3, 4))


@pytest.fixture
def deviations(monkeypatch):
  """In place of draws their deviations, and a third of a half turn."""
  draws = ada._Draws
  monkeypatch.setattr(draws, 'normal', lambda self, x: jnp.float32(x))
  monkeypatch.setattr(draws, 'integer', lambda self, low, high: jnp.int32(1))
  monkeypatch.setattr(
    draws, 'uniform', lambda self, low, high: jnp.float32(high / 3)
  )


def test_geometry_by_hand(deviations, monkeypatch):
  seen = []

  def record(image, matrix):
    seen.append(np.asarray(matrix))
    return image

  monkeypatch.setattr(ada, '_resampled', record)
  strengths = ada.Strengths(
    scale=1.0, rotation=1.0, anisotropy=1.0, fractional_shift=1.0
  )
  ada.transform(jnp.zeros((16, 24, 1)), jax.random.key(0), 1.0, strengths)
  cos, sin = 1 / 2, np.sqrt(3) / 2
  turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
  scale, width = np.diag([2**-0.2, 2**-0.2, 1]), np.diag([2**0.2, 2**-0.2, 1])
  shift = np.array([[1, 0, -16 / 8], [0, 1, -24 / 8], [0, 0, 1]])
  expected = scale @ turn @ width @ turn @ shift
  np.testing.assert_allclose(seen[0], expected, atol=1e-5)


def test_one_of_two_rotations_happens_as_often_as_told(monkeypatch):
  def of_matrix(image, matrix):
    return jnp.broadcast_to(matrix[0, 1], image.shape)

  monkeypatch.setattr(ada, '_resampled', of_matrix)
  keys = jax.random.split(jax.random.key(7), 4000)
  turned = jax.jit(ada.per_example(only('rotation')))(
    jnp.zeros((4000, 1, 1, 1)), keys, 0.6
  )
  assert float((turned != 0).mean()) == pytest.approx(0.6, abs=0.03)


def test_colours_by_hand(deviations):
  image = np.asarray(IMAGE[:4, :4], float)
  strengths = ada.Strengths(*[0.0] * 7, *[1.0] * 5)
  got = ada.transform(jnp.float32(image), jax.random.key(0), 1.0, strengths)

  def grey(x):
    return x.mean(-1, keepdims=True)

  x = (image + 0.2) * 2**0.5
  x = x - 2 * grey(x)
  axis = np.full(3, 1 / np.sqrt(3))
  own = x - grey(x)
  x = grey(x) + own / 2 + np.sqrt(3) / 2 * np.cross(axis, own)
  x = grey(x) + 2 * (x - grey(x))
  np.testing.assert_allclose(got, x, atol=1e-5)
