"""MoCoGAN: what its networks compute, and who sees which frames."""

import functools
from functools import partial

import flax.linen as nn
import forwards
import games
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan.models.dcgan import Generator as ImageGenerator
from jgan.models.mocogan import (
  Conv3D,
  Discriminator,
  Generator,
  draw_motion,
)

pytestmark = pytest.mark.slow

FRAMES = 3
VIDEO = jnp.tanh(jax.random.normal(jax.random.key(5), (4, FRAMES, 8, 8, 1)))
BATCH = {'video': VIDEO, 'index': jnp.arange(4)}
SMALL = {
  'content_dim': 3,
  'motion_dim': 2,
  'generator_width': 4,
  'image_width': 4,
  'video_width': 4,
}


def game(**numbers):
  return jgan.models.mocogan(8, 1, **{'frames': FRAMES, **SMALL, **numbers})


CONTENT = jax.random.normal(jax.random.key(6), (4, 3))
MOTION = jax.random.normal(jax.random.key(7), (4, 1 + FRAMES, 2))


@pytest.fixture(scope='module')
def state():
  return jax.jit(partial(jgan.init, game()))(jax.random.key(0), BATCH)


@functools.cache
def compiled(**numbers):
  """`(variables, batch) -> ` what the players' losses return, by name."""
  players = game(**numbers).players

  def told(variables, batch):
    arguments = variables, batch, jax.random.key(1), jnp.int32(0)
    return {player.name: player.loss(*arguments) for player in players}

  return jax.jit(told)


@pytest.mark.parametrize(
  ('frames', 'size', 'strides'),
  [
    (5, (4, 4, 4), (2, 2, 2)),
    (7, (2, 4, 4), (3, 2, 2)),
  ],
)
def test_convolution_is_flaxs_with_its_derivatives(frames, size, strides):
  x = jax.random.normal(jax.random.key(0), (2, frames, 6, 5, 3))
  kernel = jax.random.normal(jax.random.key(1), (*size, 3, 4))
  variables = {'params': {'kernel': kernel, 'bias': jnp.arange(4.0)}}

  def told(layer):
    def loss(variables, x):
      y = layer.apply(variables, x)
      return jnp.sin(y).sum(), y

    return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(variables, x)

  ours, flaxs = (kind(4, size, strides) for kind in (Conv3D, nn.Conv))
  games.assert_close(told(ours), told(flaxs), 1e-3)


def test_a_frame_is_made_of_what_stays_and_a_gated_recurrence(state):
  variables = state.variables['generator']
  got = jax.jit(partial(Generator(8, 1, 4).apply, train=False))(
    variables, CONTENT, MOTION, None
  )

  params = variables['params']
  cell = jax.tree.map(np.asarray, params['motion'])
  hidden, *noise = np.moveaxis(np.asarray(MOTION), 1, 0)

  def dense(name, x):
    return x @ cell[name]['kernel'] + cell[name].get('bias', 0)

  def gate(name, x, hidden):
    return 1 / (1 + np.exp(-dense(f'i{name}', x) - dense(f'h{name}', hidden)))

  moved = []
  for x in noise:
    recalled = gate('r', x, hidden) * dense('hn', hidden)
    keep = gate('z', x, hidden)
    new = np.tanh(dense('in', x) + recalled)
    hidden = (1 - keep) * new + keep * hidden
    moved.append(hidden)
  images = ImageGenerator(8, 1, 4)
  of_images = {
    'params': params['image'],
    'batch_stats': variables['batch_stats']['image'],
  }
  x = jnp.concatenate([CONTENT, moved[-1]], -1)
  frame = jax.jit(partial(images.apply, train=False))(of_images, x, None)
  assert got.shape == (4, FRAMES, 8, 8, 1)
  np.testing.assert_allclose(got[:, -1], frame, atol=1e-5)


def test_longer_samples_begin_as_shorter_ones(state):
  asked = {'index': jnp.arange(2)}
  short, long = (
    jax.jit(partial(jgan.sample, game(frames=n)))(
      state, asked, jax.random.key(3)
    )
    for n in (3, 7)
  )
  assert (short.shape, long.shape) == ((2, 3, 8, 8, 1), (2, 7, 8, 8, 1))
  np.testing.assert_allclose(short, long[:, :3], atol=1e-6)
  assert float(jnp.abs(long[:, 3:] - long[:, 2:-1]).max()) > 1e-4


def test_content_and_motion_of_the_batch_replace_the_draws(state):
  draw = jax.jit(partial(jgan.sample, game()))
  asked = {'index': jnp.arange(4), 'content': CONTENT, 'motion': MOTION}
  clips = draw(state, asked, jax.random.key(0))
  np.testing.assert_array_equal(clips, draw(state, asked, jax.random.key(1)))
  # One of them given, the other is drawn: by the key, and for each example.
  given = {**asked, 'content': CONTENT[jnp.zeros(4, int)]}
  del given['motion']
  one, other = (draw(state, given, jax.random.key(i)) for i in range(2))
  assert float(jnp.abs(one - other).max()) > 1e-4
  assert float(jnp.abs(one[0] - one[1]).max()) > 1e-4


def test_motion_of_a_key_is_that_of_its_frames():
  key = jax.random.key(3)
  three, five = (draw_motion(key, n, 50_000) for n in (3, 5))
  assert three.shape == (4, 50_000)
  np.testing.assert_array_equal(three, five[:4])
  np.testing.assert_allclose(five.mean(1), 0, atol=0.02)
  np.testing.assert_allclose(five @ five.T / 50_000, np.eye(6), atol=0.03)
  # The start is as it is, whatever the frames bring.
  calm = draw_motion(key, 5, 50_000, frame_noise=0.25)
  np.testing.assert_array_equal(calm[0], five[0])
  np.testing.assert_allclose(calm[1:], five[1:] / 4, rtol=1e-6)


def test_what_each_player_pays_by_hand(state):
  # With all frames as stills none is left out.
  batch = {**BATCH, 'content': CONTENT, 'motion': MOTION}
  told = compiled(stills=FRAMES)(state.variables, batch)

  def applied(name, module, *inputs):
    apply = partial(module.apply, train=True, mutable=['batch_stats'])
    return jax.jit(apply)(state.variables[name], *inputs, None)[0]

  fake = applied('generator', Generator(8, 1, 4), CONTENT, MOTION)
  paid = 0
  for name, module, shape in (
    ('image_discriminator', Discriminator(4), (-1, 8, 8, 1)),
    ('video_discriminator', Discriminator(4), VIDEO.shape),
  ):
    of_real, of_fake = (
      np.asarray(applied(name, module, x.reshape(shape)), 'float64')
      for x in (VIDEO, fake)
    )
    expected = np.log1p(np.exp(-of_real)) + np.log1p(np.exp(of_fake))
    assert float(told[name].loss) == pytest.approx(expected.mean(), rel=1e-4)
    paid += np.log1p(np.exp(-of_fake)).mean()
  assert float(told['generator'].loss) == pytest.approx(paid, rel=1e-4)


@pytest.mark.parametrize('frames', [(), (5,)])
def test_the_discriminator_by_hand(frames):
  inputs = forwards.normal(3, *frames, 16, 16, 2), jnp.array([0, 2, 1])
  module = Discriminator(2, num_classes=3)
  variables = forwards.made(module, *inputs, train=True)
  params, x = variables['params'], inputs[0]
  for i, features in enumerate((2, 4)):
    if frames:  # halved too, but not at first
      layer, name = Conv3D(features, (4, 4, 4), (1 + i, 2, 2), i == 0), 'Conv3D'
    else:
      layer, name = nn.Conv(features, (4, 4), 2, use_bias=i == 0), 'Conv'
    x = jnp.asarray(x, jnp.float32)
    x = np.asarray(layer.apply({'params': params[f'{name}_{i}']}, x))
    if i:
      x = forwards.batch_norm(params['BatchNorm_0'], x)
    x = forwards.leaky_relu(x)
  x = x.reshape(3, -1)
  logits = forwards.dense(params['Dense_0'], x)[:, 0]
  embedding = forwards.dense(params['Dense_1'], np.eye(3)[inputs[1]])
  logits += (x * embedding).sum(-1)
  forwards.assert_computes(module, variables, inputs, logits, train=True)


def test_order_is_seen_by_the_video_discriminator_alone(state):
  losses = compiled(stills=FRAMES)
  told = losses(state.variables, BATCH)
  other = losses(state.variables, {**BATCH, 'video': VIDEO[:, ::-1]})
  image, video = (
    abs(float(told[name].loss - other[name].loss))
    for name in ('image_discriminator', 'video_discriminator')
  )
  assert image < 1e-6
  assert video > 1e-5


def test_stills_are_of_their_clips_and_drawn_by_the_examples_number(state):
  # Of clips that stand still any frames are the same.
  still = {**BATCH, 'video': jnp.repeat(VIDEO[:, :1], FRAMES, 1)}
  some, all_of_them = (
    compiled(stills=n)(state.variables, still)['image_discriminator'].metrics
    for n in (1, FRAMES)
  )
  assert float(some['real_logits']) == pytest.approx(
    float(all_of_them['real_logits']), rel=1e-4
  )
  # Examples in another order, with their numbers, are the same game.
  order = jnp.array([2, 0, 3, 1])
  mixed = {name: x[order] for name, x in BATCH.items()}
  told, other = (compiled(stills=1)(state.variables, x) for x in (BATCH, mixed))
  for name in told:
    assert float(told[name].loss) == pytest.approx(
      float(other[name].loss), rel=1e-5
    )
  # Without their numbers other frames are drawn.
  renumbered = {**mixed, 'index': jnp.arange(4)}
  other = compiled(stills=1)(state.variables, renumbered)
  name = 'image_discriminator'
  assert abs(float(told[name].loss - other[name].loss)) > 1e-6


def test_instance_noise_is_on_all_that_is_judged(state):
  batch = {**BATCH, 'content': CONTENT, 'motion': MOTION}
  plain, noisy = (
    compiled(stills=FRAMES, instance_noise=x)(state.variables, batch)
    for x in (0.0, 0.5)
  )
  for name in ('image_discriminator', 'video_discriminator'):
    for of in ('real_logits', 'fake_logits'):
      one, other = (float(x[name].metrics[of]) for x in (plain, noisy))
      assert abs(one - other) > 1e-6, (name, of)
  for term in ('image', 'video'):
    one, other = (float(x['generator'].metrics[term]) for x in (plain, noisy))
    assert abs(one - other) > 1e-6, term


def test_labels_reach_all_three_players():
  gan = game(num_classes=2)
  batch = {**BATCH, 'label': jnp.array([0, 1, 0, 1])}
  state = jax.jit(partial(jgan.init, gan))(jax.random.key(0), batch)
  losses = compiled(num_classes=2)
  told = losses(state.variables, batch)
  other = losses(state.variables, {**batch, 'label': 1 - batch['label']})
  for name in told:
    assert abs(float(told[name].loss - other[name].loss)) > 1e-6, name


def test_losses_that_compare_examples_see_those_of_all_devices(state):
  batch = {**BATCH, 'content': CONTENT, 'motion': MOTION}
  # Stacked twice, every device's batch statistics are those of the whole.
  batch = {name: jnp.concatenate([x, x]) for name, x in batch.items()}
  batch['index'] = jnp.arange(8) % 4
  numbers = {'loss': jgan.losses.relativistic_average, 'stills': FRAMES}
  whole = compiled(**numbers)(state.variables, batch)
  players = game(axis_name='batch', **numbers).players

  def told(variables, part):
    arguments = variables, part, jax.random.key(1), jnp.int32(0)
    return {player.name: player.loss(*arguments).loss for player in players}

  parts = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)
  two = jax.devices()[:2]
  apart = jax.pmap(told, 'batch', in_axes=(None, 0), devices=two)(
    state.variables, parts
  )
  for name, losses in apart.items():
    np.testing.assert_allclose(losses, float(whole[name].loss), rtol=1e-4)


def test_mistakes_are_named():
  init = partial(jgan.init, game(), jax.random.key(0))
  with pytest.raises(ValueError, match=r"needs a 'video'.*got \['image'\]"):
    init({'image': VIDEO})
  with pytest.raises(ValueError, match=r'got \[4, 8, 8, 1\]'):
    init({'video': VIDEO[:, 0]})
  with pytest.raises(ValueError, match=r'\[3, 8, 8, 1\].*\[3, 16, 16, 1\]'):
    jax.eval_shape(init, {'video': jnp.zeros((2, 3, 16, 16, 1))})
  with pytest.raises(ValueError, match=r'stills=4 need clips .* got 3'):
    jgan.init(game(stills=4), jax.random.key(0), BATCH)
  with pytest.raises(ValueError, match=r"1 or more, got {'motion_dim': 0}"):
    game(motion_dim=0)
  with pytest.raises(ValueError, match='power of two of at least 8, got 24'):
    jgan.models.mocogan(24)
