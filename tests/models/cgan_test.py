"""CGAN: the paper's sizes, and labels that matter."""

from functools import partial

import forwards
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgan
from jgan.models.cgan import Discriminator, Generator

CLASSES = 3
BATCH = {
  'image': jnp.tanh(jax.random.normal(jax.random.key(5), (4, 4, 4, 1))),
  'label': jnp.array([0, 2, 1, 2]),
}


@pytest.fixture(scope='module')
def gan():
  return jgan.models.cgan(
    (4, 4, 1), CLASSES, latent_dim=3, width=12, maxout_units=24
  )


@pytest.fixture(scope='module')
def state(gan):
  return jgan.init(gan, jax.random.key(0), BATCH)


def test_parameter_counts_are_the_papers():
  gan = jgan.models.cgan()
  batch = {
    'image': jnp.zeros((2, 28, 28, 1)),
    'label': jnp.zeros(2, jnp.int32),
  }
  state = jax.eval_shape(partial(jgan.init, gan), jax.random.key(0), batch)
  counted = {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }
  generator = 100 * 200 + 200 + 10 * 1000 + 1000 + 1200 * 1200 + 1200
  generator += 1200 * 784 + 784
  discriminator = 784 * 240 * 5 + 240 * 5 + 10 * 50 * 5 + 50 * 5
  discriminator += (240 + 50) * 240 * 4 + 240 * 4 + 240 + 1
  assert counted == {'generator': generator, 'discriminator': discriminator}


def test_the_label_changes_the_sample_of_a_latent(gan, state):
  latent = jnp.full((CLASSES, 3), 0.5)
  batch = {'latent': latent, 'label': jnp.arange(CLASSES)}
  images = np.asarray(jgan.sample(gan, state, batch, jax.random.key(1)))
  assert images.shape == (CLASSES, 4, 4, 1)
  assert len(np.unique(images, axis=0)) == CLASSES
  again = jgan.sample(
    gan, state, batch | {'label': jnp.ones(CLASSES, int)}, jax.random.key(1)
  )
  np.testing.assert_allclose(again, images[[1, 1, 1]], atol=1e-6)


def test_the_label_changes_the_judgement(gan, state):
  said = [
    gan.players[0]
    .loss(
      state.variables, BATCH | {'label': label}, jax.random.key(1), jnp.int32(0)
    )
    .metrics['real_logits']
    for label in (BATCH['label'], (BATCH['label'] + 1) % CLASSES)
  ]
  assert abs(float(said[0] - said[1])) > 1e-4


def test_mistakes_are_named(gan):
  with pytest.raises(ValueError, match='two classes or more, got 1'):
    jgan.models.cgan(num_classes=1)
  with pytest.raises(ValueError, match=r"num_classes=3 .* needs a 'label'"):
    jgan.init(gan, jax.random.key(0), {'image': BATCH['image']})


def test_the_generator_by_hand_but_for_its_dropout():
  latent, label = forwards.normal(4, 3), BATCH['label']
  module = Generator((2, 2, 1), CLASSES, 4, 5, 6)
  variables = forwards.made(module, latent, label, train=False)
  params = variables['params']

  def hidden(number, x):
    return forwards.relu(forwards.dense(params[f'Dense_{number}'], x))

  parts = [hidden(0, latent), hidden(1, np.eye(CLASSES)[label])]
  x = hidden(2, np.concatenate(parts, -1))
  x = np.tanh(forwards.dense(params['Dense_3'], x)).reshape(4, 2, 2, 1)
  forwards.assert_computes(module, variables, (latent, label), x, train=False)


def test_the_discriminator_by_hand_but_for_its_dropout():
  sample, label = BATCH['image'], BATCH['label']
  module = Discriminator(CLASSES, 4, 3, 5)
  variables = forwards.made(module, sample, label, train=False)
  params = variables['params']

  def hidden(number, x, pieces):
    x = forwards.dense(params[f'Dense_{number}'], x)
    return x.reshape(4, pieces, -1).max(1)

  parts = [
    hidden(0, sample.reshape(4, -1), 5),
    hidden(1, np.eye(CLASSES)[label], 5),
  ]
  x = hidden(2, np.concatenate(parts, -1), 4)
  x = forwards.dense(params['Dense_3'], x)[:, 0]
  forwards.assert_computes(module, variables, (sample, label), x, train=False)


@pytest.mark.parametrize('kind', [Generator, Discriminator])
def test_dropout_is_drawn_in_training_alone(kind):
  if kind is Generator:
    module, x = Generator((2, 2, 1), CLASSES, 8, 8, 8), forwards.normal(4, 3)
  else:
    module, x = Discriminator(CLASSES, 8, 8, 8), BATCH['image']
  inputs = x, BATCH['label']
  variables = forwards.made(module, *inputs, train=False)

  def out(key, train):
    rngs = {'params': jax.random.key(key)}
    return forwards.outputs(module, variables, *inputs, train=train, rngs=rngs)

  assert not np.allclose(out(1, True), out(2, True))
  np.testing.assert_array_equal(out(1, False), out(2, False))
