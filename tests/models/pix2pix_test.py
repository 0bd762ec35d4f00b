"""pix2pix: its losses by hand, its patches by their size, its noise."""

import itertools
import sys
from functools import partial

import forwards
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgan
from jgan.models.pix2pix import PatchDiscriminator, UNet, _dropped

KEY = jax.random.key(1)


def pictures(channels, seed, n=4, side=8):
  draw = np.random.default_rng(seed).standard_normal((n, side, side, channels))
  return jnp.asarray(np.tanh(draw), jnp.float32)


BATCH = {
  'x': pictures(1, 0),
  'y': pictures(3, 1),
  'index': jnp.arange(4, dtype=jnp.int32),
}
SMALL = {'width': 8, 'discriminator_width': 8, 'layers': 1}


def game(**numbers):
  return jgan.models.pix2pix(8, 3, **{**SMALL, **numbers})


@pytest.fixture(scope='module')
def alone():
  """A game whose translations depend on their inputs alone, and its state."""
  gan = game(batch_norm=False, dropout=0.0)
  return gan, jax.jit(partial(jgan.init, gan))(jax.random.key(0), BATCH)


def losses(gan, state):
  """What each player's loss returns, as one program."""
  return jax.jit(
    lambda variables: {
      player.name: player.loss(variables, BATCH, KEY, jnp.int32(0))
      for player in gan.players
    }
  )(state.variables)


def judged(state, y):
  """The discriminator's logits of translations."""
  net = PatchDiscriminator(1, 8, batch_norm=False)
  logits = jax.jit(partial(net.apply, train=True))(
    state.variables['discriminator'], jnp.concatenate([BATCH['x'], y], -1)
  )
  return np.asarray(logits, np.float64)


def test_losses_by_hand(alone):
  gan, state = alone
  said = losses(gan, state)
  # Without noise, and normalised alone, sampling is the training's forward.
  fake = jax.jit(partial(jgan.sample, gan))(state, BATCH, KEY)
  real, made = judged(state, BATCH['y']), judged(state, fake)
  assert real.shape == (4, 2, 2)
  expected = np.logaddexp(0, -real).mean() + np.logaddexp(0, made).mean()
  assert said['discriminator'].loss == pytest.approx(expected / 2, rel=1e-5)
  adversarial = np.logaddexp(0, -made).mean()
  l1 = np.abs(np.asarray(fake) - np.asarray(BATCH['y'])).mean()
  generator = said['generator']
  assert generator.metrics['adversarial'] == pytest.approx(adversarial, 1e-5)
  assert generator.metrics['reconstruction'] == pytest.approx(l1, rel=1e-5)
  assert generator.loss == pytest.approx(adversarial + 100 * l1, rel=1e-5)


def test_another_reconstruction_and_another_game(alone):
  gan = game(
    batch_norm=False,
    dropout=0.0,
    loss=jgan.losses.least_squares,
    reconstruction=optax.losses.squared_error,
    reconstruction_weight=3.0,
  )
  _, state = alone
  generator = losses(gan, state)['generator']
  fake = jax.jit(partial(jgan.sample, gan))(state, BATCH, KEY)
  squares = ((np.asarray(fake) - np.asarray(BATCH['y'])) ** 2).mean()
  assert generator.metrics['reconstruction'] == pytest.approx(squares, rel=1e-5)
  weighted = float(generator.metrics['adversarial']) + 3 * squares
  assert generator.loss == pytest.approx(weighted, rel=1e-5)
  adversarial = ((judged(state, fake) - 1) ** 2).mean() / 2
  assert generator.metrics['adversarial'] == pytest.approx(adversarial, 1e-5)


@pytest.mark.parametrize(('layers', 'side'), [(1, 16), (2, 34), (3, 70)])
def test_a_patch_has_the_papers_size(layers, side):
  net = PatchDiscriminator(layers, width=2)
  image = pictures(1, 3, n=1, side=96)
  variables = jax.jit(partial(net.init, train=False))(KEY, image)

  @jax.jit
  def seen(image):
    def one(image):
      logits = net.apply(variables, image, train=False)[0]
      middle = logits.shape[0] // 2
      return logits[middle, middle]

    return jax.grad(one)(image)

  felt = np.asarray(seen(image))[0, :, :, 0] != 0
  assert felt.any(0).sum() == felt.any(1).sum() == side


def test_parameter_counts_are_the_papers():
  gan = jgan.models.pix2pix()
  batch = {name: jnp.zeros((1, 256, 256, 3)) for name in 'xy'}
  state = jax.eval_shape(partial(jgan.init, gan), jax.random.key(0), batch)
  counted = {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }
  down = [3, 64, 128, 256, 512, 512, 512, 512, 512]
  up = [512, 512, 512, 512, 256, 128, 64]
  kernels = sum(a * b for a, b in itertools.pairwise(down))
  # Up layers but the first read the level of their size beside the one below.
  wide = [512, *(2 * n for n in up)]
  kernels += sum(a * b for a, b in zip(wide, [*up, 3], strict=True))
  generator = 16 * kernels + 2 * (sum(down[2:-1]) + sum(up)) + 64 + 512 + 3
  patch = [6, 64, 128, 256, 512, 1]
  kernels = sum(a * b for a, b in itertools.pairwise(patch))
  discriminator = 16 * kernels + 2 * (128 + 256 + 512) + 64 + 1
  assert counted == {'generator': generator, 'discriminator': discriminator}
  # As the authors' code in PyTorch prints them, in millions.
  assert round(generator / 1e6, 2) == 54.41
  assert round(discriminator / 1e6, 2) == 2.77


def test_the_generator_has_as_many_levels_as_lead_to_one_pixel():
  for resolution, depth in ((64, 6), (16, 4)):
    gan = jgan.models.pix2pix(resolution, 3, layers=1, width=2)
    batch = {name: jnp.zeros((1, resolution, resolution, 3)) for name in 'xy'}
    state = jax.eval_shape(partial(jgan.init, gan), jax.random.key(0), batch)
    params = state.variables['generator']['params']
    assert sum(name.startswith('Conv_') for name in params) == depth
    assert sum(name.startswith('ConvTranspose_') for name in params) == depth


@pytest.mark.parametrize('batch_norm', [True, False])
def test_noise_is_drawn_by_number_in_sampling_too(batch_norm):
  gan = game(batch_norm=batch_norm)
  state = jax.jit(partial(jgan.init, gan))(jax.random.key(0), BATCH)
  draw = jax.jit(partial(jgan.sample, gan))
  one, other = (draw(state, BATCH, jax.random.key(i)) for i in (1, 2))
  assert float(jnp.abs(one - other).max()) > 1e-4
  # A translation is the same whatever it is made together with.
  order = jnp.array([2, 0, 2, 2])
  mixed = {name: x[order] for name, x in BATCH.items()}
  again = draw(state, mixed, jax.random.key(1))
  np.testing.assert_allclose(again, one[order], atol=1e-6)


def test_sampling_without_noise_does_not_depend_on_the_key():
  gan = game(sampling_noise=False)
  state = jax.jit(partial(jgan.init, gan))(jax.random.key(0), BATCH)
  draw = jax.jit(partial(jgan.sample, gan))
  one, other = (draw(state, BATCH, jax.random.key(i)) for i in (1, 2))
  np.testing.assert_array_equal(one, other)
  # In training the same networks have it.
  errors = jax.jit(
    lambda key: gan.players[1].loss(state.variables, BATCH, key, jnp.int32(0))
  )
  first, second = (errors(jax.random.key(i)).metrics for i in (1, 2))
  assert first['reconstruction'] != second['reconstruction']


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (partial(jgan.models.pix2pix, 48), 'power of two of at least 4, got 48'),
    (partial(jgan.models.pix2pix, 48, depth=5), 'multiple of 2.*depth=5'),
    (partial(jgan.models.pix2pix, 64, depth=0), 'depth=0'),
    (partial(jgan.models.pix2pix, dropout=1.0), 'not including 1, got 1.0'),
    (partial(jgan.models.pix2pix, dropout=-0.1), 'from 0 .* got -0.1'),
  ],
)
def test_what_cannot_be_built_is_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'y': None}, "needs 'x' and 'y'.*y missing"),
    ({'y': pictures(1, 0)}, r'\[n, 8, 8, 3\], got .*\[4, 8, 8, 1\]'),
    ({'x': pictures(1, 0, side=16)}, r'got \[4, 16, 16, 1\]'),
    ({'x': pictures(1, 0)[..., 0]}, r'got \[4, 8, 8\]'),
  ],
)
def test_a_batch_of_other_pictures_is_named(change, message):
  batch = {k: v for k, v in {**BATCH, **change}.items() if v is not None}
  with pytest.raises(ValueError, match=message):
    jgan.init(game(), jax.random.key(0), batch)


def test_pictures_too_small_for_the_patches_are_named():
  with pytest.raises(ValueError, match=r'layers=3 .* 24 pixels or more'):
    jgan.init(game(layers=3), jax.random.key(0), BATCH)


def test_other_sizes_have_a_depth_of_their_own():
  net = UNet(1, depth=2, width=2)
  x = pictures(1, 0, n=1, side=12)
  made, _ = jax.eval_shape(
    partial(net.init_with_output, train=True), KEY, x, None
  )
  assert made.shape == x.shape


@pytest.mark.parametrize('batch_norm', [True, False])
def test_the_generator_by_hand_but_for_its_dropout(batch_norm):
  x = BATCH['x']
  module = UNet(3, 3, width=2, batch_norm=batch_norm)
  variables = forwards.made(module, x, None, train=True)
  params, kind = variables['params'], 'InstanceNorm'
  normalise = forwards.instance_norm
  if batch_norm:
    kind, normalise = 'BatchNorm', forwards.batch_norm

  def norm(number, x):
    return normalise(params[f'{kind}_{number}'], x)

  def conv(number, x):
    return forwards.conv(params[f'Conv_{number}'], x, 2, (1, 1))

  def grow(number, x):
    return forwards.grow(params[f'ConvTranspose_{number}'], forwards.relu(x))

  first = conv(0, x)
  second = norm(0, conv(1, forwards.leaky_relu(first)))
  x = conv(2, forwards.leaky_relu(second))
  x = np.concatenate([norm(1, grow(0, x)), second], -1)
  x = np.concatenate([norm(2, grow(1, x)), first], -1)
  expected = np.tanh(grow(2, x))
  inputs = BATCH['x'], None
  forwards.assert_computes(module, variables, inputs, expected, train=True)


@pytest.mark.parametrize('batch_norm', [True, False])
def test_the_discriminator_by_hand(batch_norm):
  image = pictures(2, 0, side=16)
  module = PatchDiscriminator(2, 2, batch_norm=batch_norm)
  variables = forwards.made(module, image, train=True)
  params, x = variables['params'], image
  kind, normalise = 'InstanceNorm', forwards.instance_norm
  if batch_norm:
    kind, normalise = 'BatchNorm', forwards.batch_norm
  for i, stride in enumerate((2, 2, 1)):
    x = forwards.conv(params[f'Conv_{i}'], x, stride, (1, 1))
    if i > 0:
      x = normalise(params[f'{kind}_{i - 1}'], x)
    x = forwards.leaky_relu(x)
  logits = forwards.conv(params['Conv_3'], x, 1, (1, 1))[..., 0]
  forwards.assert_computes(module, variables, (image,), logits, train=True)


def test_dropout_scales_what_it_keeps_of_each_example():
  ones = jnp.ones((2, 40, 40, 2))
  keys = jax.random.split(jax.random.key(0))
  y = np.asarray(_dropped(ones, keys, 0.2))
  np.testing.assert_allclose(np.unique(y), [0, 1.25])
  np.testing.assert_allclose(y.mean((1, 2, 3)), 1, atol=0.05)
  assert (y[0] != y[1]).any()


def test_three_levels_on_the_way_up_have_dropout(monkeypatch):
  seen = []

  def record(x, keys, rate):
    seen.append((x.shape[1], rate))
    return x

  monkeypatch.setattr(sys.modules[UNet.__module__], '_dropped', record)
  init = partial(UNet(1, 5, width=1, dropout=0.3).init, train=True)
  keys = jax.random.split(jax.random.key(0), 1)
  jax.eval_shape(init, jax.random.key(1), jnp.zeros((1, 32, 32, 1)), keys)
  assert seen == [(2, 0.3), (4, 0.3), (8, 0.3)]


def test_statistics_are_those_of_reals_and_of_fakes_in_equal_parts():
  inner = game().players[0].loss.__self__
  fake = 1 - BATCH['y']

  @jax.jit
  def told(y, fake):
    variables = inner.init(jax.random.key(0), BATCH)
    return inner._judge(variables, {**BATCH, 'y': y}, fake)[2]['batch_stats']

  one, other = told(BATCH['y'], fake), told(fake, BATCH['y'])
  alike = told(fake, fake)
  for a, b, c in zip(*map(jax.tree.leaves, (one, other, alike)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert np.abs(a - c).max() > 1e-6
