"""ACGAN: the table's sizes, and who descends which classification term."""

import itertools
from functools import partial

import forwards
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan.models.acgan import Discriminator, Generator

CLASSES = 3
BATCH = {
  'image': jnp.tanh(jax.random.normal(jax.random.key(5), (4, 8, 8, 1))),
  'label': jnp.array([0, 2, 1, 2]),
  'latent': jax.random.normal(jax.random.key(6), (4, 3)),
}


def game(**numbers):
  return jgan.models.acgan(
    8,
    1,
    CLASSES,
    latent_dim=3,
    generator_width=4,
    discriminator_width=2,
    dropout=0.0,
    **numbers,
  )


@pytest.fixture(scope='module')
def state():
  return jgan.init(game(), jax.random.key(0), BATCH)


def terms(state, **numbers):
  """The classification terms of discriminator and generator."""
  return [
    float(
      jax.jit(player.loss)(
        state.variables, BATCH, jax.random.key(1), jnp.int32(0)
      ).metrics['auxiliary']
    )
    for player in game(**numbers).players
  ]


def cross_entropy(state, images):
  judge = partial(
    Discriminator(CLASSES, 2, 0.0).apply, train=True, mutable=['batch_stats']
  )
  said, _ = jax.jit(judge)(state.variables['discriminator'], images, None)
  logits = np.asarray(said['class_logits'], 'float64')
  shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  return -np.log(shares[np.arange(4), BATCH['label']]).mean()


def test_reals_and_fakes_are_named_by_the_discriminator(state):
  generate = partial(
    Generator(8, 1, CLASSES, 4).apply, train=True, mutable=['batch_stats']
  )
  fakes, _ = jax.jit(generate)(
    state.variables['generator'], BATCH['latent'], BATCH['label']
  )
  of_real = cross_entropy(state, BATCH['image'])
  of_fake = cross_entropy(state, fakes)
  assert terms(state) == pytest.approx([of_real + of_fake, of_fake], rel=1e-4)


def test_the_weight_is_the_callers(state):
  half = [x / 2 for x in terms(state)]
  assert terms(state, class_weight=0.5) == pytest.approx(half, rel=1e-5)


def test_parameter_counts_are_the_papers():
  gan = jgan.models.acgan()
  batch = {
    'image': jnp.zeros((2, 32, 32, 3)),
    'label': jnp.zeros(2, jnp.int32),
  }
  state = jax.eval_shape(partial(jgan.init, gan), jax.random.key(0), batch)
  counted = {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }
  generator = 110 * 16 * 384 + 16 * 384 + 2 * (192 + 96) + 3
  generator += 25 * (384 * 192 + 192 * 96 + 96 * 3)
  widths = [3, 16, 32, 64, 128, 256, 512]
  kernels = 9 * sum(a * b for a, b in itertools.pairwise(widths))
  norms = 16 + 2 * sum(widths[2:])
  discriminator = kernels + norms + 16 * 512 * 11 + 11
  assert counted == {'generator': generator, 'discriminator': discriminator}


def test_mistakes_are_named():
  for resolution in (4, 12):
    message = f'power of two of at least 8, got {resolution}'
    with pytest.raises(ValueError, match=message):
      jgan.models.acgan(resolution)
  with pytest.raises(ValueError, match='two classes or more, got 1'):
    jgan.models.acgan(num_classes=1)
  with pytest.raises(ValueError, match=r"num_classes=3 .* needs a 'label'"):
    jgan.init(game(), jax.random.key(0), {'image': BATCH['image']})


def test_the_generator_by_hand():
  latent, label = BATCH['latent'], BATCH['label']
  module = Generator(16, 2, CLASSES, width=4)
  variables = forwards.made(module, latent, label, train=True)
  params = variables['params']
  x = np.concatenate([latent, np.eye(3)[label]], -1)
  x = forwards.relu(forwards.dense(params['Dense_0'], x)).reshape(4, 4, 4, 4)
  x = forwards.grow(params['ConvTranspose_0'], x)
  x = forwards.relu(forwards.batch_norm(params['BatchNorm_0'], x))
  x = np.tanh(forwards.grow(params['ConvTranspose_1'], x))
  forwards.assert_computes(module, variables, (latent, label), x, train=True)


def test_the_discriminator_by_hand_but_for_its_dropout():
  image = forwards.normal(4, 8, 8, 2)
  module = Discriminator(CLASSES, width=2, dropout=0.0)
  variables = forwards.made(module, image, None, train=True)
  params, x = variables['params'], image
  for i in range(6):
    x = forwards.conv(params[f'Conv_{i}'], x, 1 if i % 2 else 2)
    if i > 0:
      x = forwards.batch_norm(params[f'BatchNorm_{i - 1}'], x)
    x = forwards.leaky_relu(x)
  said = forwards.dense(params['Dense_0'], x.reshape(4, -1))
  got = forwards.outputs(module, variables, image, None, train=True)
  both = np.concatenate([got['logits'][:, None], got['class_logits']], -1)
  np.testing.assert_allclose(both, said, rtol=2e-3, atol=2e-3)


def test_dropout_is_drawn_in_training_alone():
  image = forwards.normal(4, 8, 8, 2)
  module = Discriminator(CLASSES, width=8)
  variables = forwards.made(module, image, None, train=True)

  def logits(key, train):
    rngs = {'params': jax.random.key(key)}
    said = forwards.outputs(
      module, variables, image, None, train=train, rngs=rngs
    )
    return said['logits']

  assert not np.allclose(logits(1, True), logits(2, True))
  np.testing.assert_array_equal(logits(1, False), logits(2, False))
