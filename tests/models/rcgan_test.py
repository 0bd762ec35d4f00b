"""RCGAN: labels in every step, a logit for every step, and wrong labels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgan
from jgan.models.rcgan import Discriminator, Generator

pytestmark = pytest.mark.slow

SERIES = jax.random.uniform(jax.random.key(5), (4, 5, 2))
LATENT = jax.random.normal(jax.random.key(6), (4, 5, 3))
LABEL = jnp.array([0, 1, 1, 0])
BATCH = {
  'series': SERIES,
  'latent': LATENT,
  'label': LABEL,
  'index': jnp.arange(4),
}
SMALL = {
  'num_classes': 2,
  'latent_dim': 3,
  'generator_hidden': 4,
  'discriminator_hidden': 4,
}


def game(**numbers):
  return jgan.models.rcgan(5, 2, **{**SMALL, **numbers})


@pytest.fixture(scope='module')
def state():
  return jax.jit(partial(jgan.init, game()))(jax.random.key(0), BATCH)


def judged(state, series, label):
  apply = jax.jit(partial(Discriminator(4, 2).apply, train=False))
  return apply(state.variables['discriminator'], series, label)['logits']


def test_the_generator_is_an_lstm_of_noise_and_label(state):
  variables = state.variables['generator']
  got = jax.jit(partial(Generator(2, 4, 2).apply, train=True))(
    variables, LATENT, LABEL
  )
  params = jax.tree.map(np.asarray, variables['params'])
  cell, dense = params['OptimizedLSTMCell_0'], params['Dense_0']
  kept = hidden = np.zeros((4, 4))

  def sigmoid(x):
    return 1 / (1 + np.exp(-x))

  for step in range(5):
    x = np.concatenate([LATENT[:, step], np.eye(2)[LABEL]], -1)
    i, f, g, o = (
      x @ cell[f'i{gate}']['kernel']
      + hidden @ cell[f'h{gate}']['kernel']
      + cell[f'h{gate}']['bias']
      for gate in 'ifgo'
    )
    kept = sigmoid(f) * kept + sigmoid(i) * np.tanh(g)
    hidden = sigmoid(o) * np.tanh(kept)
    expected = sigmoid(hidden @ dense['kernel'] + dense['bias'])
    np.testing.assert_allclose(got[:, step], expected, atol=1e-5)


def test_a_series_so_far_is_judged_without_what_follows(state):
  logits = judged(state, SERIES, LABEL)
  assert logits.shape == (4, 5)
  short = judged(state, SERIES[:, :3], LABEL)
  np.testing.assert_allclose(logits[:, :3], short, atol=1e-6)
  # The label is in the first step already.
  other = judged(state, SERIES, 1 - LABEL)
  assert (np.abs(logits - other) > 1e-5).all()


def test_what_each_player_pays_by_hand(state):
  variables = state.variables
  apply = partial(Generator(2, 4, 2).apply, train=True)
  fake = jax.jit(apply)(variables['generator'], LATENT, LABEL)
  # Of two classes the wrong one is the other.
  of_real, of_fake, of_wrong = (
    np.asarray(judged(state, series, label), float)
    for series, label in (
      (SERIES, LABEL),
      (fake, LABEL),
      (SERIES, 1 - LABEL),
    )
  )
  expected = {
    'discriminator': np.log1p(np.exp(-of_real)).mean()
    + np.log1p(np.exp(of_fake)).mean()
    + np.log1p(np.exp(of_wrong)).mean(),
    'generator': np.log1p(np.exp(-of_fake)).mean(),
  }

  def told(variables):
    arguments = variables, BATCH, jax.random.key(1), jnp.int32(0)
    return {x.label: x.loss(*arguments).loss for x in game().players}

  found = {k: float(x) for k, x in jax.jit(told)(variables).items()}
  assert found == pytest.approx(expected, rel=1e-4)


def test_wrong_labels_are_all_others():
  label = jnp.repeat(jnp.arange(3), 200)
  # One unit that only adds its inputs up tells which label it was shown.
  module = Discriminator(1, 3)
  series = jnp.zeros((600, 1, 1))
  variables = module.init(jax.random.key(0), series, label, train=True)
  said = module.apply(
    variables, series, label, train=True, rngs={'params': jax.random.key(1)}
  )
  right, wrong = (
    np.asarray(said[name][:, 0]) for name in ('logits', 'wrong_logits')
  )
  of_label = right[[0, 200, 400]]
  shown = np.abs(wrong[:, None] - of_label).argmin(1)
  assert (shown != label).all()
  counts = np.stack([np.bincount(x, minlength=3) for x in shown.reshape(3, -1)])
  assert (counts[~np.eye(3, dtype=bool)] > 60).all()
  quiet = module.apply(variables, series, label, train=False)
  assert set(quiet) == {'logits'}


def test_the_discriminator_descends_plainly(state):
  player = game().players[0]
  after, metrics = jax.jit(partial(jgan.update, player))(
    state, BATCH, jax.random.key(1)
  )
  moved = jax.tree.map(
    jnp.subtract,
    after.variables['discriminator']['params'],
    state.variables['discriminator']['params'],
  )
  length = 0.1 * float(metrics['gradient_norm'])
  assert float(optax.tree.norm(moved)) == pytest.approx(length, rel=1e-4)


def test_longer_latents_make_longer_samples(state):
  draw = jax.jit(partial(jgan.sample, game()))
  longer = jnp.concatenate([LATENT, LATENT], 1)
  key = jax.random.key(2)
  long = draw(state, {**BATCH, 'latent': longer}, key)
  np.testing.assert_allclose(long[:, :5], draw(state, BATCH, key), atol=1e-6)
  assert long.shape == (4, 10, 2)


def test_without_classes_labels_are_not_read():
  gan = game(num_classes=None)
  batch = {name: x for name, x in BATCH.items() if name != 'label'}
  state = jax.jit(partial(jgan.init, gan))(jax.random.key(0), batch)
  kernel = state.variables['generator']['params']['OptimizedLSTMCell_0']
  assert kernel['ii']['kernel'].shape == (3, 4)
  _, metrics = jax.jit(partial(jgan.train_step, gan))(
    state, batch, jax.random.key(1)
  )
  assert 'discriminator/auxiliary' not in metrics


def test_mistakes_are_named():
  batch = {name: x for name, x in BATCH.items() if name != 'label'}
  with pytest.raises(ValueError, match=r"num_classes=2 .* needs a 'label'"):
    jgan.init(game(), jax.random.key(0), batch)
  with pytest.raises(ValueError, match='two classes or more, got 1'):
    game(num_classes=1)
  with pytest.raises(ValueError, match='5, 2 and 0'):
    game(latent_dim=0)
  with pytest.raises(ValueError, match=r'makes \[5, 2\], .* \[5, 1\]'):
    jgan.init(game(), jax.random.key(0), {**BATCH, 'series': SERIES[..., :1]})
