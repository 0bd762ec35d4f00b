"""Several modalities: who pays for what, and who sees what."""

import functools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgan
from jgan.models.multimodal import (
  Generator,
  Judge,
  PairDiscriminator,
  Task,
  compose,
)

BATCH = {
  'x': jax.random.normal(jax.random.key(1), (6, 2)),
  'y': jax.random.normal(jax.random.key(2), (6, 3)),
  'label': jnp.array([0, 1, 0, 1, 0, 1]),
  'latent': jax.random.normal(jax.random.key(3), (6, 4)),
}


class Head(nn.Module):
  features: int

  @nn.compact
  def __call__(self, x, label, *, train):
    assert label is None  # the features hold it
    return nn.Dense(self.features)(x)


class Linear(nn.Module):
  """Logits of all that it sees, side by side, with the label if it `reads`."""

  reads: bool = False
  dropout: float = 0.0

  @nn.compact
  def __call__(self, *inputs, train):
    *samples, label = inputs
    x = jnp.concatenate(samples, -1)
    if self.reads:
      x = jnp.concatenate([x, jax.nn.one_hot(label, 2)], -1)
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return nn.Dense(1)(x)[:, 0]


class Curved(nn.Module):
  @nn.compact
  def __call__(self, x, y, label, *, train):
    z = nn.tanh(nn.Dense(4)(jnp.concatenate([x, y], -1)))
    return nn.Dense(1)(z)[:, 0]


class Sum(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    return nn.Dense(1)(x)[:, 0]


def game(pair=None, task_weight=0.5, latent=4, **options):
  judge = partial(Judge, loss=jgan.losses.hinge, optimizer=optax.adam(1e-2))
  return compose(
    Generator({'x': Head(2), 'y': Head(3)}, 8, 2),
    {
      'x_judge': judge(Linear(), ('x',), gamma=3.0),
      'pair_judge': pair or judge(Linear(True), ('x', 'y'), weight=2.0),
    },
    {
      'task': Task(
        Sum(),
        ('y',),
        lambda said, batch: (said - batch['label']) ** 2,
        optax.adam(1e-2),
        task_weight,
      )
    },
    latent=jgan.latents.normal(latent),
    optimizer=optax.adam(1e-2),
    **options,
  )


@pytest.fixture(scope='module')
def variables():
  return jax.jit(partial(jgan.init, game()))(jax.random.key(0), BATCH).variables


def losses(gan, variables, batch=BATCH):
  def told(variables, batch):
    arguments = variables, batch, jax.random.key(1), jnp.int32(0)
    return {player.name: player.loss(*arguments) for player in gan.players}

  return jax.jit(told)(variables, batch)


def test_each_pays_what_it_should_by_hand(variables):
  told = losses(game(), variables)
  fake = Generator({'x': Head(2), 'y': Head(3)}, 8, 2).apply(
    variables['generator'], BATCH['latent'], BATCH['label'], train=True
  )
  params = jax.tree.map(np.asarray, variables)

  def dense(name, x):
    layer = params[name]['params']['Dense_0']
    return (np.asarray(x) @ layer['kernel'] + layer['bias'])[:, 0]

  def both(samples):
    classes = np.eye(2)[BATCH['label']]
    return np.concatenate([samples['x'], samples['y'], classes], -1)

  def hinge(real, fake):
    return np.maximum(1 - real, 0).mean() + np.maximum(1 + fake, 0).mean()

  of_x = [dense('x_judge', samples['x']) for samples in (BATCH, fake)]
  slope = params['x_judge']['params']['Dense_0']['kernel']
  expected = hinge(*of_x) + 3.0 / 2 * (slope**2).sum()
  assert float(told['x_judge'].loss) == pytest.approx(expected, rel=1e-4)
  of_pair = [dense('pair_judge', both(samples)) for samples in (BATCH, fake)]
  assert float(told['pair_judge'].loss) == pytest.approx(
    hinge(*of_pair), rel=1e-4
  )
  label = np.asarray(BATCH['label'])
  task, of_fake = (
    ((dense('task', samples['y']) - label) ** 2).mean()
    for samples in (BATCH, fake)
  )
  assert float(told['task'].loss) == pytest.approx(task, rel=1e-4)
  paid = -of_x[1].mean() - 2 * of_pair[1].mean() + 0.5 * of_fake
  assert float(told['generator'].loss) == pytest.approx(paid, rel=1e-4)


def test_the_penalty_of_a_pair_is_over_both(variables):
  judge = Judge(
    Linear(True), ('x', 'y'), jgan.losses.hinge, optax.adam(1e-2), gamma=4.0
  )
  told = losses(game(pair=judge), variables)['pair_judge'].metrics['penalty']
  layer = variables['pair_judge']['params']['Dense_0']
  # Of the five rows of what it sees, and none of the label's two.
  expected = 4.0 / 2 * (layer['kernel'][:5] ** 2).sum()
  assert float(told) == pytest.approx(float(expected), rel=1e-4)


def test_the_label_is_paid_for_where_it_is_judged(variables):
  told = losses(game(), variables)
  other = losses(game(), variables, {**BATCH, 'label': 1 - BATCH['label']})
  for name in ('pair_judge', 'task', 'generator'):
    assert abs(float(told[name].loss - other[name].loss)) > 1e-4, name


def test_the_judge_of_pairs_alone_sees_what_belongs_together():
  judge = Judge(
    Curved(), ('x', 'y'), jgan.losses.hinge, optax.adam(1e-2), gamma=1.0
  )
  gan = game(pair=judge)
  variables = jax.jit(partial(jgan.init, gan))(
    jax.random.key(0), BATCH
  ).variables
  told = losses(gan, variables)
  mixed = losses(gan, variables, {**BATCH, 'x': BATCH['x'][::-1]})
  single, pair = (
    abs(float(told[name].loss - mixed[name].loss))
    for name in ('x_judge', 'pair_judge')
  )
  assert single < 1e-6
  assert pair > 1e-4


@pytest.mark.parametrize('dropout', [0.0, 0.5])
def test_the_generator_meets_other_masks_than_the_judges_learned(dropout):
  module = Linear(dropout=dropout)
  judge = Judge(module, ('x', 'y'), jgan.losses.wasserstein, optax.adam(1e-2))
  gan = game(pair=judge)
  # Of reals that are zero the judge says nothing but its bias, which is zero.
  batch = {**BATCH, 'x': jnp.zeros((6, 2)), 'y': jnp.zeros((6, 3))}
  variables = jax.jit(partial(jgan.init, gan))(
    jax.random.key(0), batch
  ).variables
  told = losses(gan, variables, batch)
  learned = float(told['pair_judge'].metrics['adversarial'])
  met = -float(told['generator'].metrics['pair_judge'])
  assert (abs(learned - met) > 1e-4) == (dropout > 0)


@pytest.mark.slow
def test_it_learns_pairs_that_belong_together():
  # y = x + its class: neither alone tells what the other is.
  key = jax.random.key(0)
  x = 0.3 * jax.random.normal(key, (64, 2))
  label = jnp.arange(64) % 2
  y = jnp.stack([x[:, 0], x[:, 1], 2.0 * label], 1)
  batch = {'x': x, 'y': y, 'label': label}
  gan = game()
  state = jax.jit(partial(jgan.init, gan))(key, batch)
  step = jax.jit(partial(jgan.train_step, gan))
  for _ in range(400):
    state, _ = step(state, batch, jax.random.key(1))
  asked = {'index': jnp.arange(64), 'label': label}
  made = jgan.sample(gan, state, asked, jax.random.key(2))
  third = made['y'][:, 2]
  assert float(third[label == 1].mean() - third[label == 0].mean()) > 1


def test_players_and_samples_are_named():
  gan = jgan.models.multimodal(8, 64, 3, image_width=4, sound_width=8)
  assert [player.name for player in gan.players] == [
    'image_judge',
    'sound_judge',
    'pair_judge',
    'image_reader',
    'generator',
  ]
  batch = {
    'image': jnp.zeros((2, 8, 8, 1)),
    'sound': jnp.zeros((2, 64, 1)),
    'label': jnp.zeros(2, int),
  }
  init = functools.partial(jgan.init, gan)
  state = jax.eval_shape(init, jax.random.key(0), batch)
  asked = {'index': jnp.arange(5), 'label': jnp.arange(5) % 3}
  made = jax.eval_shape(
    partial(jgan.sample, gan), state, asked, jax.random.key(0)
  )
  assert jax.tree.map(lambda x: x.shape, made) == {
    'image': (5, 8, 8, 1),
    'sound': (5, 64, 1),
  }


def test_a_pair_of_another_class_is_judged_otherwise():
  module = PairDiscriminator(3, 4, 8, 8)
  inputs = jnp.ones((2, 8, 8, 1)), jnp.ones((2, 64, 1))
  label = jnp.array([0, 2])
  variables = jax.jit(partial(module.init, train=True))(
    jax.random.key(0), *inputs, label
  )
  judge = jax.jit(partial(module.apply, train=True))
  one, other = judge(variables, *inputs, label)
  assert abs(float(one - other)) > 1e-4
  for i in range(2):  # and it sees both
    changed = list(inputs)
    changed[i] = -changed[i]
    told = judge(variables, *changed, label)[0]
    assert abs(float(told - one)) > 1e-4


def test_mistakes_are_named():
  init = partial(jgan.init, game(), jax.random.key(0))
  without = {name: x for name, x in BATCH.items() if name != 'y'}
  with pytest.raises(ValueError, match=r"a 'y' of \[3\].*holds there: nothing"):
    init(without)
  with pytest.raises(ValueError, match=r"a 'x' of \[2\].*holds there: \[5\]"):
    init({**BATCH, 'x': jnp.zeros((6, 5))})
  judge = Judge(Linear(), ('z',), jgan.losses.hinge, optax.adam(1e-2))
  message = r"'pair_judge' .* a tuple of \['x', 'y'\].* got sees=\('z',\)"
  with pytest.raises(ValueError, match=message):
    jgan.init(game(judge), jax.random.key(0), BATCH)
  with pytest.raises(ValueError, match='power of two of at least 64'):
    jgan.models.multimodal(length=100)
  with pytest.raises(ValueError, match='power of two of at least 8'):
    jgan.models.multimodal(resolution=20)
