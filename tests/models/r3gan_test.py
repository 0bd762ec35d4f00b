"""R3GAN's sizes, its start, and its resampling."""

import functools

import forwards
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgan
from jgan.models.r3gan import (
  Block,
  Discriminator,
  Generator,
  downsample,
  upsample,
)

SMALL = {'widths': (6, 4), 'blocks': 1, 'group': 4, 'latent_dim': 3}


def batch(side=8, n=4):
  image = np.random.default_rng(0).normal(size=(n, side, side, 3))
  label = jnp.arange(n, dtype=jnp.int32) % 3
  return {'image': jnp.asarray(image, jnp.float32), 'label': label}


def test_parameter_counts_are_the_papers_but_for_the_biases():
  gan = jgan.models.r3gan(num_classes=10)
  like = {'image': jnp.zeros((2, 32, 32, 3)), 'label': jnp.zeros(2, jnp.int32)}
  state = jax.eval_shape(
    functools.partial(jgan.init, gan), jax.random.key(0), like
  )
  counted = {}
  for name, own in state.variables.items():
    for path, leaf in jax.tree_util.tree_leaves_with_path(own['params']):
      kind = 'bias' if path[-1].key == 'bias' else 'rest'
      counted[name, kind] = counted.get((name, kind), 0) + leaf.size
  # Eight blocks of 768 to 1536 channels and back, in groups of 16.
  blocks = 8 * (2 * 768 * 1536 + 9 * 16 * 1536)
  basis = 16 * 768
  generator = basis + 10 * 64 + 128 * 768 + 768 * 3
  discriminator = 3 * 768 + basis + 768 * 768 + 10 * 768
  assert counted == {
    ('generator', 'rest'): blocks + generator,
    ('discriminator', 'rest'): blocks + discriminator,
    ('generator', 'bias'): 8 * 2 * 1536,
    ('discriminator', 'bias'): 8 * 2 * 1536,
  }
  assert round((blocks + generator) / 1e6, 2) == 20.76  # as published
  assert round((blocks + discriminator) / 1e6, 2) == 21.26


def test_blocks_start_as_the_identity():
  x = batch()['image'][..., :2]
  block = Block(depth=2, group=4)
  variables = block.init(jax.random.key(0), x)
  np.testing.assert_array_equal(block.apply(variables, x), x)
  inner = variables['params']['expand']['kernel']
  gain = np.sqrt(2 / 1.04) * 2**-0.25 / np.sqrt(2)
  assert float(inner.std()) == pytest.approx(gain, rel=0.5)


def test_groups_are_apart():
  x = batch()['image'].repeat(2, -1)[..., :4]
  block = Block(depth=1, group=4)
  params = block.init(jax.random.key(0), x)['params']
  assert params['mix']['kernel'].shape == (3, 3, 4, 8)
  # The input's last channel reaches the second group's half alone.
  params['expand']['kernel'] = jnp.zeros((4, 8)).at[3, 7].set(1.0)
  params['contract']['kernel'] = jnp.eye(8)[:, :4]
  np.testing.assert_array_equal(block.apply({'params': params}, x), x)


def test_upsampling_weighs_three_to_one():
  row = jnp.array([1.0, 3.0, 5.0])
  x = row[None, None, :, None] * jnp.ones((1, 2, 1, 1))
  made = upsample(x)
  assert made.shape == (1, 4, 6, 1)
  expected = np.array([0.75, 1.5, 2.5, 3.5, 4.5, 3.75])  # zeros at the edges
  np.testing.assert_allclose(made[0, 1, :, 0], expected)
  np.testing.assert_allclose(made[0, 0, :, 0], 0.75 * expected)


def test_downsampling_weighs_one_three_three_one():
  row = jnp.array([4.0, 8.0, 12.0, 16.0])
  x = row[None, None, :, None] * jnp.ones((1, 6, 1, 1))
  made = downsample(x)
  assert made.shape == (1, 3, 2, 1)
  expected = np.array([6.0, 11.5])  # zeros at the edges
  np.testing.assert_allclose(made[0, 1, :, 0], expected)
  np.testing.assert_allclose(made[0, 0, :, 0], 7 / 8 * expected)


@pytest.mark.parametrize('resample', [upsample, downsample])
def test_resampling_does_not_shift(resample):
  x = batch()['image']
  mirrored = x[:, ::-1, ::-1]
  expected = resample(x)[:, ::-1, ::-1]
  np.testing.assert_allclose(resample(mirrored), expected, rtol=1e-5, atol=1e-6)


def test_up_and_down_are_adjoint_to_a_factor():
  x, y = jnp.asarray(np.random.default_rng(1).normal(size=(2, 1, 8, 8, 2)))
  y = y[:, :4, :4]
  one = (downsample(x) * y).sum()
  other = (x * upsample(y)).sum() / 4
  assert float(one) == pytest.approx(float(other), rel=1e-5)


@pytest.mark.slow
def test_schedules_reach_the_optimizers_and_the_penalty():
  gan = jgan.models.r3gan(8, num_classes=3, batch_size=4, images=8, **SMALL)
  state = jgan.init(gan, jax.random.key(0), batch())
  penalties = []
  for _ in range(3):
    state, metrics = jgan.train_step(gan, state, batch(), jax.random.key(1))
    penalties.append(float(metrics['discriminator/penalty']))
    assert all(np.isfinite(x) for x in metrics.values())
  for opt_state in state.opt_state.values():
    used = optax.tree.get(opt_state, 'hyperparams')
    assert float(used['learning_rate']) == pytest.approx(5e-5)
    assert float(used['b2']) == pytest.approx(0.99)
  assert penalties[2] < 0.5 * penalties[0]  # gamma, to a tenth


def test_augmentation_is_tracked():
  gan = jgan.models.r3gan(8, num_classes=3, augmentation=0.5, **SMALL)
  key = jax.random.key(0)
  state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch())
  step = functools.partial(jgan.train_step, gan)
  after, _ = jax.eval_shape(step, state, batch(), key)
  assert 'moves' in state.variables['discriminator']['tracked']
  assert after == state


@pytest.mark.slow
def test_the_average_starts_as_the_newest_params():
  gan = jgan.models.r3gan(8, num_classes=3, batch_size=4, images=400, **SMALL)
  state = jgan.init(gan, jax.random.key(0), batch())
  state, _ = jgan.train_step(gan, state, batch(), jax.random.key(1))
  for average, now in zip(
    jax.tree.leaves(state.ema_params['generator']),
    jax.tree.leaves(state.variables['generator']['params']),
    strict=True,
  ):
    np.testing.assert_array_equal(average, now)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'resolution': 16}, '2 widths are for 8 pixels, got a resolution of 16'),
    ({'group': 5}, r'a group of 5 channels must divide .* got \(6, 4\)'),
  ],
)
def test_what_cannot_be_built_is_refused(options, message):
  with pytest.raises(ValueError, match=message):
    jgan.models.r3gan(**{'resolution': 8, **SMALL, **options})


def computed(params, x):
  """What a block makes of its input, by hand, in groups of 4 channels."""
  y = forwards.dense(params['expand'], x) + params['expand_bias']['bias']
  y, kernel = forwards.leaky_relu(y), params['mix']['kernel']
  parts = [
    forwards.conv({'kernel': kernel[..., i : i + 4]}, y[..., i : i + 4])
    for i in range(0, y.shape[-1], 4)
  ]
  y = np.concatenate(parts, -1) + params['mix_bias']['bias']
  return x + forwards.dense(params['contract'], forwards.leaky_relu(y))


def resampled(resample, x):
  return np.asarray(resample(jnp.asarray(x, jnp.float32)))


def test_the_generator_by_hand():
  latent, label = forwards.normal(4, 3), batch()['label']
  module = Generator(2, (6, 4), blocks=1, group=4, num_classes=3)
  variables = forwards.made(module, latent, label, train=True)
  params = variables['params']
  x = np.concatenate([latent, params['Dense_0']['kernel'][label]], -1)
  x = forwards.dense(params['Dense_1'], x)[:, None, None] * params['basis']
  x = resampled(upsample, computed(params['Block_0'], x))
  x = computed(params['Block_1'], forwards.dense(params['Dense_2'], x))
  x = forwards.dense(params['Dense_3'], x)
  forwards.assert_computes(module, variables, (latent, label), x, train=True)


def test_the_discriminator_by_hand():
  image, label = batch()['image'], batch()['label']
  module = Discriminator((6, 4), blocks=1, group=4, num_classes=3)
  variables = forwards.made(module, image, label, train=True)
  params = variables['params']
  x = computed(params['Block_0'], forwards.dense(params['Dense_0'], image))
  x = forwards.dense(params['Dense_1'], resampled(downsample, x))
  x = (computed(params['Block_1'], x) * params['basis']).sum((1, 2))
  x = forwards.dense(params['Dense_2'], x)
  logits = (x * params['Dense_3']['kernel'][label]).sum(-1)
  forwards.assert_computes(
    module, variables, (image, label), logits, train=True
  )


def test_params_start_at_the_papers_deviations():
  block = Block(depth=16, group=8)
  x = jnp.zeros((1, 4, 4, 64))
  start = jax.jit(block.init)(jax.random.key(0), x)['params']
  gain = np.sqrt(2 / 1.04) / 2  # 16 to the power of -1/4
  for name, fan_in in (('expand', 64), ('mix', 9 * 8)):
    deviation = float(start[name]['kernel'].std())
    assert deviation == pytest.approx(gain / np.sqrt(fan_in), rel=0.1), name
  judge = Discriminator((64, 4), blocks=1, group=8, num_classes=40)
  image, label = jnp.zeros((1, 8, 8, 3)), jnp.zeros(1, jnp.int32)
  init = jax.jit(functools.partial(judge.init, train=True))
  start = init(jax.random.key(0), image, label)['params']
  # Sums over 16 pixels, and over 64 channels, of size 1.
  assert float(start['basis'].std()) == pytest.approx(1 / 4, rel=0.1)
  embed = float(start['Dense_3']['kernel'].std())
  assert embed == pytest.approx(1 / np.sqrt(64 * 40), rel=0.1)


def test_networks_narrow_towards_4_pixels_in_the_order_of_widths():
  judge = Discriminator((6, 4, 2), blocks=1, group=2)
  form = jax.eval_shape(
    functools.partial(judge.init, train=True),
    jax.random.key(0),
    jnp.zeros((1, 16, 16, 3)),
    None,
  )['params']
  seen = [form[f'Block_{i}']['expand']['kernel'].shape[0] for i in range(3)]
  assert seen == [2, 4, 6]
  assert form['basis'].shape == (4, 4, 6)


def test_the_penalty_is_half_of_gamma_at_reals_and_at_fakes():
  numbers = {'batch_size': 4, 'images': 8, 'gamma': (0.5, 0.5)}
  gan = jgan.models.r3gan(8, num_classes=3, **numbers, **SMALL)
  given = {**batch(), 'latent': forwards.normal(4, 3)}
  maker = Generator(3, (6, 4), blocks=1, group=4, num_classes=3)
  judge = Discriminator((6, 4), blocks=1, group=4, num_classes=3)
  variables = {
    'generator': forwards.made(
      maker, given['latent'], given['label'], train=True
    ),
    'discriminator': forwards.made(
      judge, given['image'], given['label'], train=True
    ),
  }

  @jax.jit
  def both(variables):
    apply = functools.partial(judge.apply, variables['discriminator'])

    def steep(x):
      slope = jax.grad(lambda x: apply(x, given['label'], train=True).sum())(x)
      return (slope**2).sum((1, 2, 3)).mean()

    fake = maker.apply(
      variables['generator'], given['latent'], given['label'], train=True
    )
    key, step = jax.random.key(1), jnp.int32(1)
    told = gan.players[0].loss(variables, given, key, step).metrics
    return told['penalty'], steep(given['image']), steep(fake)

  penalty, at_real, at_fake = map(float, both(variables))
  assert penalty == pytest.approx(0.25 * (at_real + at_fake), rel=1e-3)
  assert abs(at_real - at_fake) > 0.01 * at_real


def test_the_augmentation_grows_to_its_end(monkeypatch):
  seen = []
  scheduled = jgan.ada.scheduled

  def record(strengths, p):
    seen.append((strengths, p))
    return scheduled(strengths, p)

  monkeypatch.setattr(jgan.ada, 'scheduled', record)
  jgan.models.r3gan(8, augmentation=0.5, batch_size=4, images=40, **SMALL)
  ((strengths, p),) = seen
  assert [float(p(jnp.int32(i))) for i in (0, 5, 10, 20)] == pytest.approx(
    [0, 0.25, 0.5, 0.5], abs=1e-6
  )
  assert strengths == jgan.ada.Strengths(
    *[1.0] * 7, *[0.5] * 5, image_filter=0, noise=0, cutout=1.0
  )
