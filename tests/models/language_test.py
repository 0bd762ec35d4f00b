"""Language models against enumeration: what they tell, and what they draw."""

import functools
import itertools

import forwards
import games
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgan.models import language
from jgan.models.language import Discriminator, LanguageModel

partial = functools.partial
V, T = 3, 3
MODEL = LanguageModel(V, 2, 4)
TEXTS = jnp.array(list(itertools.product(range(V), repeat=T)), jnp.int32)


def keys(n, seed=0):
  return jax.random.split(jax.random.key(seed), n)


@pytest.fixture(scope='module')
def variables():
  """Of a model that is far from uniform."""
  init = jax.jit(MODEL.init)(jax.random.key(0), TEXTS)
  return jax.tree.map(
    lambda x: 0.6 * jax.random.normal(jax.random.key(x.size), x.shape), init
  )


@pytest.fixture(scope='module')
def told(variables):
  return jax.jit(partial(language.log_likelihood, MODEL))(variables, TEXTS)


def test_the_likelihoods_of_all_texts_sum_to_one(told):
  assert told.shape == (V**T, T)
  assert float(jnp.exp(told.sum(1)).sum()) == pytest.approx(1, rel=1e-5)
  assert float(jnp.exp(told.sum(1)).std()) > 0.01


def test_a_token_is_told_from_those_before_it_alone(variables, told):
  # Texts with the same first two tokens lie side by side, V of them.
  first_two = np.array(told)[:, :2].reshape(-1, V, 2)
  np.testing.assert_allclose(first_two, first_two[:, :1] + 0 * first_two)
  whole = np.exp(np.array(told)[:, 2].reshape(-1, V)).sum(1)
  np.testing.assert_allclose(whole, 1, rtol=1e-5)


def test_steps_tell_what_the_whole_text_does(variables):
  def by_steps(variables):
    carry, x = MODEL.apply(variables, len(TEXTS), method='begin')
    logits = []
    for t in range(T):
      carry, one = MODEL.apply(variables, carry, x, method='step')
      x = MODEL.apply(variables, TEXTS[:, t], method='embed')
      logits.append(one)
    return jnp.stack(logits, 1), MODEL.apply(variables, TEXTS)

  games.assert_close(*jax.jit(by_steps)(variables), 1e-5)


@pytest.fixture(scope='module')
def complete():
  return jax.jit(partial(language.completed, MODEL))


def test_texts_are_drawn_as_often_as_they_are_likely(variables, told, complete):
  n = 20_000
  blank, none = jnp.zeros((n, T), jnp.int32), jnp.zeros(n, jnp.int32)
  drawn = np.array(complete(variables, keys(n), blank, none))
  shares = np.bincount(drawn @ [V * V, V, 1], minlength=V**T) / n
  expected = np.exp(np.array(told).sum(1))
  deviation = np.sqrt(expected * (1 - expected) / n)
  assert (np.abs(shares - expected) < 4.5 * deviation + 1e-4).all()


def test_what_is_given_stays(variables, complete):
  given = jnp.arange(len(TEXTS)) % (T + 1)
  made = np.array(complete(variables, keys(len(TEXTS)), TEXTS, given))
  same = made == np.array(TEXTS)
  for row, count in zip(same, np.array(given), strict=True):
    assert row[:count].all()
  assert not same.all()
  # A text depends on its own key and beginning alone.
  one = complete(variables, keys(len(TEXTS))[5:6], TEXTS[5:6], given[5:6])
  np.testing.assert_array_equal(one[0], made[5])


def test_a_low_temperature_takes_the_likeliest(variables, complete):
  blank, none = jnp.zeros((6, T), jnp.int32), jnp.zeros(6, jnp.int32)
  cold = jnp.array([1e-6, 1e-6, 1e-6, 0, 1e-30, 1e6])
  made = np.array(complete(variables, keys(6), blank, none, cold))
  logits = np.array(MODEL.apply(variables, jnp.asarray(made)))
  assert (made[:5] == logits[:5].argmax(-1)).all()
  assert (made[:5] == made[0]).all()


@pytest.mark.parametrize('size', [2, 7, 50])
def test_tokens_are_drawn_by_their_probabilities(size):
  logits = jnp.asarray(np.random.default_rng(0).normal(size=size))
  logits = logits.at[1].set(-jnp.inf)
  n = 20_000
  drawn = jax.jit(language.categorical)(
    keys(n), jnp.broadcast_to(logits, (n, size))
  )
  shares = np.bincount(np.array(drawn), minlength=size) / n
  expected = np.array(jax.nn.softmax(logits))
  assert shares.shape == (size,)
  assert shares[1] == 0
  deviation = np.sqrt(expected * (1 - expected) / n)
  assert (np.abs(shares - expected) <= 4.5 * deviation).all()


def test_one_hot_draws_are_as_often_as_they_are_likely(variables, told):
  n = 20_000
  hot = jax.jit(partial(language.one_hot_draws, MODEL))(
    variables, keys(n), jnp.zeros((n, T), jnp.int32), 1.0
  )
  np.testing.assert_allclose(hot.max(-1), 1, atol=1e-6)
  np.testing.assert_allclose(hot.sum(-1), 1, atol=1e-6)
  drawn = np.array(hot.argmax(-1)) @ [V * V, V, 1]
  shares = np.bincount(drawn, minlength=V**T) / n
  expected = np.exp(np.array(told).sum(1))
  deviation = np.sqrt(expected * (1 - expected) / n)
  assert (np.abs(shares - expected) < 4.5 * deviation + 1e-4).all()


def test_one_hot_draws_have_the_slope_of_a_softmax(variables):
  # Of the first token: its logits are the bias of the last layer, and more.
  beta, key = 2.0, keys(1)

  def moved(bias, draw):
    params = variables['params']
    head = {**params['head'], 'bias': bias}
    return draw({'params': {**params, 'head': head}})[0, 0] @ jnp.arange(3.0)

  def hard(own):
    return language.one_hot_draws(
      MODEL, own, key, jnp.zeros((1, 1), jnp.int32), beta
    )

  def soft(own):
    logits = MODEL.apply(own, jnp.zeros((1, 1), jnp.int32))
    noise = jax.random.gumbel(jax.random.fold_in(key[0], 0), (V,))
    return jax.nn.softmax(beta * (logits + noise[None, None]))

  bias = variables['params']['head']['bias']
  got, expected = (
    jax.jit(jax.grad(partial(moved, draw=f)))(bias) for f in (hard, soft)
  )
  assert float(jnp.abs(expected).max()) > 0.01
  games.assert_close(got, expected, 1e-5)


def test_a_discriminator_reads_one_hot_rows_as_tokens():
  judge = Discriminator(V, 4, ((1, 3), (2, 5), (4, 7)))  # the last is too wide
  own = judge.init(jax.random.key(0), TEXTS, train=False)
  sizes = {
    name: tuple(x.shape for x in jax.tree.leaves(layer))
    for name, layer in own['params'].items()
  }
  assert sizes['table'] == ((V, 4),)
  assert sizes['Conv_0'] == ((3,), (1, 4, 3))
  assert sizes['Conv_1'] == ((5,), (2, 4, 5))
  assert sizes['gate'] == sizes['new'] == ((8,), (8, 8))
  assert sizes['logit'] == ((1,), (8, 1))
  logits = judge.apply(own, TEXTS, train=False)
  hot = judge.apply(own, jax.nn.one_hot(TEXTS, V), train=False)
  assert logits.shape == (V**T,)
  assert float(logits.std()) > 1e-3
  games.assert_close(hot, logits, 1e-6)
  rngs = {'dropout': jax.random.key(1)}
  dropped = judge.apply(own, TEXTS, train=True, rngs=rngs)
  assert float(jnp.abs(dropped - logits).max()) > 1e-3


def test_a_discriminator_by_hand_but_for_its_dropout():
  module = Discriminator(V, 2, ((1, 3), (2, 4), (5, 6)))
  variables = forwards.made(module, TEXTS, train=False)
  params, features = variables['params'], []
  x = params['table'][np.asarray(TEXTS)]
  for i in range(2):  # the window of 5 is wider than a text
    y = forwards.conv(params[f'Conv_{i}'], x, 1, (0, 0))
    features.append(forwards.relu(y).max(1))
  x = np.concatenate(features, -1)
  gate = forwards.sigmoid(forwards.dense(params['gate'], x))
  x = gate * forwards.relu(forwards.dense(params['new'], x)) + (1 - gate) * x
  logits = forwards.dense(params['logit'], x)[:, 0]
  forwards.assert_computes(module, variables, (TEXTS,), logits, train=False)
