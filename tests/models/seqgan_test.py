"""SeqGAN's phases, its values and its gradient against enumeration."""

import functools
import itertools

import games
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import jgan
from jgan.models import language
from jgan.models.language import LanguageModel
from jgan.models.seqgan import oracle

partial = functools.partial
V, T = 2, 3
TEXTS = jnp.array(list(itertools.product(range(V), repeat=T)), jnp.int32)
BATCH = {'tokens': TEXTS, 'index': jnp.arange(len(TEXTS), dtype=jnp.int32)}


def game(**options):
  options = {
    'likelihood_steps': 2,
    'discriminator_steps': 1,
    'n_critic': 2,
    'rollouts': 2,
    'embedding': 3,
    'hidden': 4,
    'discriminator_embedding': 3,
    'filters': ((1, 4), (2, 4)),
    **options,
  }
  return jgan.models.seqgan(V, T, **options)


def inner(gan):
  """The game behind the losses."""
  return gan.players[-1].loss.__self__


@pytest.fixture(scope='module')
def state():
  """Of networks that are far from where they start."""
  start = jgan.init(game(), jax.random.key(0), BATCH)
  variables = jax.tree.map(
    lambda x: x + 0.4 * jax.random.normal(jax.random.key(x.size), x.shape),
    start.variables,
  )
  last = variables['discriminator']['params']['logit']
  judge = inner(game()).discriminator
  logits = judge.apply(variables['discriminator'], TEXTS, train=False)
  # Rewards on both sides of a half.
  scale = 1 / logits.std()
  last['bias'] = scale * (last['bias'] - logits.mean())
  last['kernel'] = scale * last['kernel']
  return start._replace(variables=variables)


def test_phases_follow_each_other():
  gan = game()
  moves = [jgan.moves(gan, step) for step in range(7)]
  both = ('discriminator', 'generator')
  assert moves == [
    *[('likelihood',)] * 2,
    *[('discriminator',)] * 2,
    both,
    ('discriminator',),
    both,
  ]
  assert [p.label for p in game(likelihood_steps=0).players] == [*both]


@pytest.mark.parametrize('first', [0.5, 0.0])
def test_the_rate_changes_with_the_phase(first):
  gan = game(likelihood_learning_rate=first, generator_learning_rate=0.25)
  params = {'x': jnp.zeros(())}
  adam = gan.players[0].optimizer
  state, moved = adam.init(params), []
  for _ in range(4):
    updates, state = adam.update({'x': jnp.ones(())}, state, params)
    moved.append(-float(updates['x']))
  np.testing.assert_allclose(moved, [first, first, 0.25, 0.25], rtol=1e-4)


def rewards(variables):
  judge = inner(game()).discriminator
  return jax.nn.sigmoid(
    judge.apply(variables['discriminator'], TEXTS, train=False)
  )


def exact_values(variables):
  """What each text is worth after each token: means over all completions."""
  model = inner(game()).generator
  told = language.log_likelihood(model, variables['generator'], TEXTS)
  shares = np.exp(np.array(told).sum(1))
  reward, texts = np.array(rewards(variables)), np.array(TEXTS)
  values = np.empty(texts.shape)
  for i, text in enumerate(texts):
    for t in range(1, T + 1):
      alike = (texts[:, :t] == text[:t]).all(1)
      values[i, t - 1] = (shares * reward)[alike].sum() / shares[alike].sum()
  return values


@pytest.mark.slow
def test_values_are_means_over_completions(state):
  played = inner(game(rollouts=2000))
  got = jax.jit(played.values)(state.variables, TEXTS, BATCH, jax.random.key(1))
  expected = exact_values(state.variables)
  assert expected.std() > 0.02
  np.testing.assert_allclose(got, expected, atol=0.02)
  np.testing.assert_allclose(got[:, -1], expected[:, -1], rtol=1e-5)


@pytest.mark.slow
def test_the_gradient_is_that_of_the_expected_reward(state):
  n = 20_000
  many = {
    'tokens': jnp.zeros((n, T), jnp.int32),
    'index': jnp.arange(n, dtype=jnp.int32),
  }
  gan = game(rollouts=1)

  def loss(params):
    variables = {
      **state.variables,
      'generator': {'params': params},
    }
    out = inner(gan).generator_loss(
      variables, many, jax.random.key(1), jnp.zeros((), int)
    )
    return out.loss, out.metrics

  def expected_reward(params):
    told = language.log_likelihood(
      inner(gan).generator, {'params': params}, TEXTS
    ).sum(1)
    shares = jnp.exp(told)
    entropy = -(shares * told).sum()
    return (shares * rewards(state.variables)).sum(), entropy

  params = state.variables['generator']['params']
  (value, said), got = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
  (reward, entropy), expected = jax.jit(
    jax.value_and_grad(expected_reward, has_aux=True)
  )(params)
  assert -float(value) == pytest.approx(float(reward), abs=0.01)
  assert float(said['entropy']) == pytest.approx(float(entropy), rel=0.05)
  error = optax.tree.norm(optax.tree.add(got, expected))
  assert float(error) < 0.15 * float(optax.tree.norm(expected))


def test_a_text_alone_teaches_by_its_own_value(state):
  gan, key = game(), jax.random.key(1)
  one = jax.tree.map(lambda x: x[:1], BATCH)
  played = inner(gan)
  tokens = played.sample(state.variables, one, key)
  values = played.values(state.variables, tokens, one, key)

  def gain(variables):
    told = language.log_likelihood(played.generator, variables, tokens)
    return -(told * values).sum()

  own = state.variables['generator']
  expected = jax.grad(gain)(own)['params']
  got = jax.grad(
    lambda params: (
      played.generator_loss(
        {**state.variables, 'generator': {'params': params}},
        one,
        key,
        jnp.int32(0),
      ).loss
    )
  )(own['params'])
  games.assert_close(got, expected, 1e-5)
  assert float(optax.tree.norm(got)) > 1e-3


def test_where_all_texts_are_worth_the_same_there_is_nothing_to_learn(state):
  alike = jax.tree.map(jnp.zeros_like, state.variables['discriminator'])
  variables = {**state.variables, 'discriminator': alike}
  generator = next(p for p in game().players if p.label == 'generator')

  @jax.jit
  def slope(own):
    def loss(own):
      moving = {**variables, 'generator': own}
      return generator.loss(moving, BATCH, jax.random.key(1), jnp.int32(0)).loss

    return jax.value_and_grad(loss)(own)

  loss, gradient = slope(variables['generator'])
  assert float(loss) == pytest.approx(-0.5)
  assert float(optax.tree.norm(gradient)) < 1e-6


def test_a_move_over_devices_is_that_of_one(state):
  mesh = jgan.sharding.data_mesh(jax.devices()[:2])
  sgd = optax.sgd(0.1)  # Adam turns rounding into moves
  one, many = (
    next(p for p in gan.players if p.label == 'generator')._replace(
      optimizer=sgd
    )
    for gan in (game(), game(axis_name='batch'))
  )
  start = state._replace(
    opt_state={'generator': sgd.init(state.variables['generator']['params'])}
  )
  divided = jax.shard_map(
    partial(jgan.update, many, axis_name='batch'),
    mesh=mesh,
    in_specs=(P(), P('batch'), P()),
    out_specs=P(),
  )
  key = jax.random.key(1)
  got, _ = jax.jit(divided)(start, BATCH, key)
  expected, _ = jax.jit(partial(jgan.update, one))(start, BATCH, key)
  games.assert_close(got.variables, expected.variables, 1e-5)
  before = state.variables['generator']['params']
  moved = expected.variables['generator']['params']
  assert float(optax.tree.norm(optax.tree.sub(moved, before))) > 1e-3


def test_the_penalty_is_of_the_last_layer():
  plain, heavy = game(l2=0.0), game(l2=3.0)
  start = jgan.init(plain, jax.random.key(0), BATCH)
  last = start.variables['discriminator']['params']['logit']
  last = jax.tree.map(lambda x: x + 1, last)
  own = {**start.variables['discriminator']['params'], 'logit': last}
  variables = {**start.variables, 'discriminator': {'params': own}}
  one, other = (
    jax.jit(inner(gan).discriminator_loss)(
      variables, BATCH, jax.random.key(1), jnp.zeros((), int)
    )
    for gan in (plain, heavy)
  )
  squares = sum(float((x**2).sum()) for x in last.values())
  assert float(other.loss - one.loss) == pytest.approx(1.5 * squares, rel=1e-4)


def test_the_loss_weighs_its_penalty_as_two_logits_and_a_mean_do(state):
  gan = game(l2=0.2, dropout=0.0)
  key = jax.random.key(1)

  @jax.jit
  def found(variables):
    loss = (
      inner(gan)
      .discriminator_loss(variables, BATCH, key, jnp.zeros((), int))
      .loss
    )
    texts = jnp.concatenate([TEXTS, inner(gan).sample(variables, BATCH, key)])
    own = variables['discriminator']
    return loss, inner(gan).discriminator.apply(own, texts, train=False)

  loss, logits = found(state.variables)
  # A logit is the difference of two of half its size and of opposite signs.
  both = jnp.stack([-logits, logits], 1) / 2
  labels = jnp.repeat(jnp.array([1, 0]), len(TEXTS))
  entropy = optax.softmax_cross_entropy_with_integer_labels(both, labels)
  last = state.variables['discriminator']['params']['logit']
  halves = [half for x in last.values() for half in (-x / 2, x / 2)]
  penalty = sum((half**2).sum() / 2 for half in halves)
  theirs = entropy.mean() + 0.2 * penalty
  assert float(loss) == pytest.approx(2 * float(theirs), rel=1e-5)


def test_an_oracle_is_standard_normal_and_knows_its_own_texts():
  model, variables = oracle(50, 8, 8)
  assert isinstance(model, LanguageModel)
  entries = np.concatenate([x.ravel() for x in jax.tree.leaves(variables)])
  assert abs(entries.mean()) < 0.1
  assert entries.std() == pytest.approx(1, abs=0.05)

  def missed(key):
    asked = {'index': jnp.arange(256)}
    own = language.sampled(model, variables, asked, key, 6)
    chance = jax.random.randint(key, own.shape, 0, 50)
    tell = partial(language.log_likelihood, model, variables)
    return -tell(own).mean(), -tell(chance).mean()

  own, chance = jax.jit(missed)(jax.random.key(1))
  assert float(own) < np.log(50) < float(chance)


def test_mistakes_are_named():
  init = partial(jgan.init, game(), jax.random.key(0))
  with pytest.raises(ValueError, match=r"seqgan: .*'tokens', got \['x'\]"):
    init({'x': TEXTS})
  with pytest.raises(
    ValueError, match=r'integers \[n, 3\], got int32 \[8, 2\]'
  ):
    init({'tokens': TEXTS[:, :2]})
  with pytest.raises(ValueError, match=r'got float32 \[8, 3\]'):
    init({'tokens': TEXTS.astype(jnp.float32)})
  for name, value in (('rollouts', 0), ('n_critic', 0), ('hidden', 0)):
    with pytest.raises(ValueError, match=f'seqgan: {name} must be 1 or more'):
      game(**{name: value})
  with pytest.raises(ValueError, match='likelihood_steps must be 0 or more'):
    game(likelihood_steps=-1)
  with pytest.raises(ValueError, match=r'no filter of widths \[4, 5\] fits'):
    game(filters=((4, 2), (5, 2)))
