"""StyleGAN2's parts against loops, matrices and closed forms."""

import functools

import forwards
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jgan
from experiments.benchmarks import fewest, flops
from jgan.models import stylegan2 as make
from jgan.models.stylegan2 import (
  Conv,
  Dense,
  Discriminator,
  Generator,
  ModulatedConv,
  blur,
  minibatch_deviation,
  mixing,
  path_lengths,
  upsample,
)

SMALL = {'widths': (4, 3), 'latent_dim': 5, 'w_dim': 6, 'depth': 2}
X = jax.random.normal(jax.random.key(0), (3, 4, 4, 2))
W = jax.random.normal(jax.random.key(1), (3, 6))


def counted(gan, side):
  like = {'image': jnp.zeros((4, side, side, 3))}
  state = jax.eval_shape(
    functools.partial(jgan.init, gan), jax.random.key(0), like
  )
  return {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }


@pytest.mark.slow
def test_with_labels_one_forward_of_the_generator_serves_both_moves():
  gan = make(8, 1, num_classes=3, path_weight=0.0, penalty_every=2, **SMALL)
  batch = {'image': jnp.zeros((4, 8, 8, 1)), 'label': jnp.arange(4) % 3}
  moves = 'discriminator', 'generator'
  text = fewest.step_program(gan, batch, moves).as_text()
  assert flops.compiled(text) <= fewest.fewest(gan, batch, moves)


def test_parameter_counts_at_256_pixels():
  # 8 layers of w, then at each size two convolutions with their styles, noise
  # strengths and biases (at 4x4 one), and a picture's.
  widths = (512, 512, 512, 512, 256, 128, 64)

  def styled(i, o, taps):
    return taps * i * o + 512 * i + i

  generator, discriminator = 8 * (512 * 512 + 512) + 16 * 512, 0
  for number, width in enumerate(widths):
    before = widths[max(number - 1, 0)]
    if number:
      generator += styled(before, width, 9) + width + 1
      discriminator += 9 * width * (width + before) + width + before
      discriminator += width * before
    generator += styled(width, width, 9) + width + 1
    generator += styled(width, 3, 1) + 3
  discriminator += 3 * 64 + 64 + 9 * 513 * 512 + 512
  discriminator += 8192 * 512 + 512 + 513
  assert counted(make(256), 256) == {
    'generator': generator,
    'discriminator': discriminator,
  }


@pytest.mark.parametrize('demodulate', [False, True])
@pytest.mark.parametrize('double', [False, True])
def test_modulated_convolution_is_a_kernel_for_each_example(double, demodulate):
  layer = ModulatedConv(5, 3, double, demodulate)
  variables = layer.init(jax.random.key(2), X, W)
  params = variables['params']
  dense = Dense(2, bias=1.0)
  style = dense.apply({'params': params['style']}, W)
  for example in range(3):
    kernel = (
      params['kernel'] / np.sqrt(18) * style[example][None, None, :, None]
    )
    if demodulate:
      kernel /= jnp.sqrt((kernel**2).sum((0, 1, 2)))[None, None, None]
    got = layer.apply(variables, X, W)[example]
    if double:
      expected = blur(
        lax.conv_general_dilated(
          X[example][None],
          kernel,
          (1, 1),
          [(2, 2), (2, 2)],
          lhs_dilation=(2, 2),
          dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        ),
        1,
        2.0,
      )
    else:
      expected = lax.conv_general_dilated(
        X[example][None],
        kernel,
        (1, 1),
        'SAME',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      )
    np.testing.assert_allclose(got, expected[0], atol=2e-5)


def test_equalised_layers_start_at_their_scale_and_learn_at_their_rate():
  x = jnp.ones((1, 400))
  for rate in (1.0, 0.01):
    dense = Dense(300, rate=rate, use_bias=False)
    params = dense.init(jax.random.key(0), x)
    assert float(params['params']['kernel'].std() * rate) == pytest.approx(
      1, rel=0.05
    )
    assert float(dense.apply(params, x).std()) == pytest.approx(1, rel=0.2)
    slope = jax.grad(lambda p, d=dense: d.apply(p, x).sum())(params)
    np.testing.assert_allclose(slope['params']['kernel'], rate / 20, rtol=1e-5)


def test_halving_convolution_sees_a_blurred_picture():
  layer = Conv(1, 1, half=True, use_bias=False)
  params = {'params': {'kernel': jnp.ones((1, 1, 1, 1))}}
  ramp = jnp.arange(8.0)[None, :, None, None] * jnp.ones((1, 1, 8, 1))
  halved = layer.apply(params, ramp)[0, :, 2, 0]
  assert halved.shape == (4,)
  np.testing.assert_allclose(halved[1:3], [2.5, 4.5], rtol=1e-6)


def test_upsampling_is_linear_between_pixels():
  ramp = jnp.arange(4.0)[None, :, None, None] * jnp.ones((1, 1, 4, 1))
  grown = upsample(ramp)[0, :, 4, 0]
  np.testing.assert_allclose(grown[1:7], np.arange(6) / 2 + 0.25, rtol=1e-6)


def test_doubling_keeps_a_constant():
  layer = ModulatedConv(1, 3, double=True, demodulate=False)
  variables = layer.init(jax.random.key(2), X[..., :1], W)
  params = variables['params'] | {'kernel': jnp.ones((3, 3, 1, 1))}
  style = Dense(1, bias=1.0).apply({'params': params['style']}, W)
  made = layer.apply({'params': params}, jnp.ones((3, 8, 8, 1)), W)
  inner = made[:, 4:12, 4:12, 0]
  expected = 9 * style / 3  # nine taps over the root of nine, once an output
  np.testing.assert_allclose(
    inner, np.broadcast_to(expected[:, :, None], inner.shape), rtol=1e-5
  )


def test_deviation_of_a_group_by_hand():
  x = np.random.default_rng(0).normal(size=(6, 2, 2, 3)).astype('float32')
  got = minibatch_deviation(jnp.asarray(x), 3)
  assert got.shape == (6, 2, 2, 1)
  for first in range(2):
    expected = x[first::2].std(0).mean()
    np.testing.assert_allclose(got[first::2], expected, rtol=1e-5)
  with pytest.raises(ValueError, match=r'batch of 6 .* groups of 4'):
    minibatch_deviation(jnp.asarray(x), 4)


def test_mixing_changes_the_latent_once_at_most():
  keys = jax.random.split(jax.random.key(0), 200)
  drawn = jax.vmap(mixing(3, 6, 0.5))(keys)
  assert drawn.shape == (200, 6, 3)
  changes = (drawn[:, 1:] != drawn[:, :-1]).any(-1).sum(1)
  assert set(np.asarray(changes).tolist()) == {0, 1}
  assert 0.35 < float(changes.mean()) < 0.65
  never = jax.vmap(mixing(3, 6, 0.0))(jax.random.clone(keys))
  assert (never == never[:, :1]).all()


@functools.cache
def trained():
  """The game, and its state after one step in which all moves are made."""
  gan = make(8, 1, **SMALL)
  batch = {'image': jax.random.normal(jax.random.key(5), (4, 8, 8, 1))}
  key = jax.random.key(0)
  moves = tuple(player.label for player in gan.players)
  state = jgan.init(gan, key, batch)
  return gan, *jgan.train_step(gan, state, batch, key, moves=moves)


@pytest.mark.slow
def test_lazy_moves_come_in_their_turn():
  gan, _, _ = trained()
  main = ('discriminator', 'generator')
  assert jgan.moves(gan, 0) == main
  assert jgan.moves(gan, 3) == (*main, 'path_length')
  assert jgan.moves(gan, 15) == (
    'discriminator',
    'penalty',
    'generator',
    'path_length',
  )


@pytest.mark.slow
def test_path_lengths_and_latents_are_remembered():
  _, state, metrics = trained()
  own = state.variables['generator']
  length = float(metrics['path_length/path_length'])
  assert length > 0
  assert float(own['path_length']['mean']) == pytest.approx(0.01 * length, 1e-4)
  assert float(jnp.abs(own['w_mean']['mean']).max()) > 0
  assert all(np.isfinite(float(x)) for x in metrics.values())


def test_samples_depend_on_their_latents_alone():
  gan, state, _ = trained()
  z = jax.random.normal(jax.random.key(8), (4, 5))
  whole = jgan.sample(gan, state, {'latent': z}, jax.random.key(1))
  part = jgan.sample(gan, state, {'latent': z[2:]}, jax.random.key(2))
  np.testing.assert_allclose(part, whole[2:], rtol=1e-5, atol=1e-5)


def test_truncation_draws_samples_to_the_mean():
  _, state, _ = trained()
  z = jax.random.normal(jax.random.key(8), (16, 5))
  spread = []
  for truncation in (1.0, 0.5, 0.0):
    other = make(8, 1, truncation=truncation, **SMALL)
    drawn = jgan.sample(other, state, {'latent': z}, jax.random.key(1))
    spread.append(float(drawn.std(0).mean()))
  assert spread[0] > spread[1] > spread[2]
  assert spread[2] < 1e-6


def test_layers_latents_mix_styles():
  gan, state, _ = trained()
  layers = Generator(1, (4, 3)).layers
  one, other = jax.random.normal(jax.random.key(8), (2, 5))
  fine = jnp.stack([one] * (layers - 1) + [other])[None]
  alike = jnp.stack([one] * layers)[None]
  key = jax.random.key(1)
  mixed = jgan.sample(gan, state, {'latent': fine}, key)
  same = jgan.sample(gan, state, {'latent': alike}, jax.random.clone(key))
  alone = jgan.sample(gan, state, {'latent': one[None]}, jax.random.clone(key))
  # Two programs, whose rounding is in proportion to the largest number.
  rounding = 1e-6 * float(jnp.abs(alone).max())
  np.testing.assert_allclose(same, alone, rtol=0, atol=rounding)
  assert float(jnp.abs(mixed - same).max()) > 1e-4


def test_samples_have_one_style_whatever_training_mixes():
  gan, state, _ = trained()
  never = make(8, 1, mix=0.0, **SMALL)
  batch = {'index': jnp.arange(4)}
  drawn = jgan.sample(gan, state, batch, jax.random.key(1))
  expected = jgan.sample(never, state, batch, jax.random.key(1))
  np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(('every', 'share'), [(1, 1), (3, 3 / 4)])
def test_rates_are_rescaled_for_moves_of_the_penalty_alone(every, share):
  gan = make(
    8, 1, penalty_every=every, path_weight=0.0, learning_rate=0.1, **SMALL
  )
  batch = {'image': jax.random.normal(jax.random.key(5), (4, 8, 8, 1))}
  state = jgan.init(gan, jax.random.key(0), batch)
  move = jax.jit(functools.partial(jgan.update, gan.players[0]))
  new, _ = move(state, batch, jax.random.key(1))
  before, after = (
    x.variables['discriminator']['params']['Dense_1']['kernel']
    for x in (state, new)
  )
  # Adam's first step is of the rate.
  step = float(jnp.abs(after - before).max())
  assert step == pytest.approx(0.1 * share, rel=1e-3)


def test_path_lengths_are_norms_of_the_jacobian():
  generator = Generator(1, (4, 3), w_dim=6, depth=1)
  z = jax.random.normal(jax.random.key(3), (1, 5))
  variables = jax.jit(functools.partial(generator.init, train=True))(
    {'params': jax.random.key(0), 'noise': jax.random.key(1)}, z, None
  )
  keys = jax.random.split(jax.random.key(4), 1)

  def pictures(offset):
    return generator.apply(variables, z, None, train=False, w_offset=offset)

  offset = jnp.zeros((1, 4, 6))
  jacobian = jax.jit(jax.jacrev(pictures))(offset)[0, ..., 0, 0, :, :]
  y = jax.random.normal(jax.random.clone(keys)[0], (8, 8, 1)) / 8
  slope = jnp.einsum('hwld,hw->ld', jacobian, y[..., 0])
  expected = jnp.sqrt((slope**2).sum(-1).mean())
  measure = jax.jit(functools.partial(path_lengths, generator))
  got = measure(variables, z, None, keys, jax.random.key(6))
  # Noise has no strength at the start, so that training's pictures are these.
  np.testing.assert_allclose(got, expected[None], rtol=1e-4)


def test_labels_reach_both_networks():
  gan = make(8, 1, num_classes=3, path_weight=0.0, mix=0.0, **SMALL)
  label = jnp.array([0, 1, 2, 0], jnp.int32)
  batch = {'image': jnp.zeros((4, 8, 8, 1)), 'label': label}
  state = jgan.init(gan, jax.random.key(0), batch)
  z = jnp.ones((3, 5))
  conditions = {'latent': z, 'label': jnp.arange(3)}
  drawn = jgan.sample(gan, state, conditions, jax.random.key(1))
  assert float(drawn.std(0).max()) > 1e-4


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'resolution': 24}, 'power of two of at least 8, got 24'),
    ({'resolution': 4}, 'power of two of at least 8, got 4'),
    ({'resolution': 16, 'widths': (4, 4)}, '16 pixels have 3 sizes, got 2'),
  ],
)
def test_what_cannot_be_built_is_refused(options, message):
  with pytest.raises(ValueError, match=message):
    make(**options)


def activated(x):
  return np.sqrt(2) * forwards.leaky_relu(np.asarray(x, float))


def linear(params, x, rate=1.0):
  kernel, bias = rate * params['kernel'], rate * params.get('bias', 0)
  return np.asarray(x, float) @ kernel / np.sqrt(x.shape[-1]) + bias


def unit(x):
  return x / np.sqrt((x**2).mean(-1, keepdims=True))


def test_the_generator_by_hand_but_for_its_convolutions():
  module = Generator(2, (4, 3), w_dim=6, depth=2, num_classes=3)
  latent, label = forwards.normal(3, module.layers, 5), jnp.array([2, 0, 1])
  variables = forwards.made(module, latent, label, train=False)
  params, noise = variables['params'], variables['noise']
  for i in range(2):  # so that w is of size 1, and styles differ
    for entry, size in (('kernel', 300), ('bias', 50)):
      params[f'map_{i}'][entry] = size * params[f'map_{i}'][entry]
  classes = unit(linear(params['embed'], np.eye(3)[label]))
  classes = classes[:, None].repeat(module.layers, 1)
  w = np.concatenate([unit(np.asarray(latent)), classes], -1)
  for i in range(2):
    w = activated(linear(params[f'map_{i}'], w, 0.01))

  def modulated(own, x, w, *options):
    module, own = ModulatedConv(*options), {'params': own}
    return forwards.outputs(module, own, jnp.float32(x), jnp.float32(w))

  def layer(number, x, w, features, double=False):
    name = f'SynthesisLayer_{number}'
    own = params[name]
    y = modulated(own['ModulatedConv_0'], x, w, features, 3, double)
    y = y + own['noise_strength'] * noise[name]['fixed'] + own['bias']
    return activated(y)

  def picture(number, x, w):
    own = params[f'ModulatedConv_{number}']
    y = modulated(own, x, w, 2, 1, False, False)
    return y + params[f'picture_bias_{x.shape[1]}']

  x = layer(0, params['constant'][None].repeat(3, 0), w[:, 0], 4)
  first = jnp.asarray(picture(0, x, w[:, 1]), jnp.float32)
  x = layer(1, x, w[:, 1], 3, True)
  x = layer(2, x, w[:, 2], 3)
  expected = np.asarray(upsample(first)) + picture(1, x, w[:, 3])
  forwards.assert_computes(
    module, variables, (latent, label), expected, train=False
  )


@pytest.mark.parametrize('residual', [True, False])
@pytest.mark.parametrize('num_classes', [None, 3])
def test_the_discriminator_by_hand_but_for_its_convolutions(
  residual, num_classes
):
  image, label = forwards.normal(4, 8, 8, 2), jnp.array([2, 0, 1, 1])
  module = Discriminator((4, 3), residual, 2, num_classes)
  variables = forwards.made(module, image, label, train=True)
  params, numbers = variables['params'], iter(range(5))

  def conv(x, features, size, **options):
    module = Conv(features, size, **options)
    own = {'params': params[f'Conv_{next(numbers)}']}
    return forwards.outputs(module, own, jnp.float32(x))

  x = activated(conv(image, 3, 1))
  y = activated(conv(activated(conv(x, 3, 3)), 4, 3, half=True))
  if residual:
    y = (y + conv(x, 4, 1, half=True, use_bias=False)) / np.sqrt(2)
  pairs = y.reshape(2, 2, -1)  # the first and the third, ...
  deviation = np.tile(pairs.std(0).mean(-1), 2)[:, None, None, None]
  y = np.concatenate([y, np.broadcast_to(deviation, (4, 4, 4, 1))], -1)
  x = activated(conv(y, 4, 3)).reshape(4, -1)
  x = linear(params['Dense_0'], x)
  x = linear(params['Dense_1'], activated(x))
  expected = x[:, 0]
  if num_classes:
    classes = unit(linear(params['Dense_2'], np.eye(3)[label]))
    expected = (x * classes).sum(-1) / 2
  forwards.assert_computes(
    module, variables, (image, label), expected, train=True
  )
