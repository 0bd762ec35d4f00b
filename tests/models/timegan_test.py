"""TimeGAN: its phases, what each player pays, and when one rests."""

import functools
from functools import partial

import games
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import jgan
from jgan.models.timegan import (
  Autoencoder,
  Discriminator,
  Generator,
  still_at_zero,
)

SMALL = {'hidden': 3, 'layers': 1, 'latent_dim': 2}
SERIES = jax.random.uniform(jax.random.key(5), (4, 5, 2))
LATENT = jax.random.uniform(jax.random.key(6), (4, 5, 2))
BATCH = {'series': SERIES, 'latent': LATENT, 'index': jnp.arange(4)}
STEP = jnp.int32(0)


def game(**numbers):
  return jgan.models.timegan(5, 2, **{**SMALL, **numbers})


@pytest.fixture(scope='module')
def state():
  return jax.jit(partial(jgan.init, game()))(jax.random.key(0), BATCH)


@functools.cache
def told(axis_name=None):
  """`(variables, batch) -> ` what each move's loss returns, by label."""
  players = game(axis_name=axis_name, gamma=0.5).players

  def losses(variables, batch):
    arguments = variables, batch, jax.random.key(1), STEP
    return {player.label: player.loss(*arguments) for player in players}

  return losses


def test_phases_follow_each_other():
  gan = game(embedding_steps=2, supervised_steps=3, generator_moves=3)
  moves = [jgan.moves(gan, step) for step in range(12)]
  both = ('generator', 'autoencoder')
  all_three = (*both, 'discriminator')
  assert moves == [
    *[('embedding',)] * 2,
    *[('supervised',)] * 3,
    *[both, both, all_three] * 2,
    both,
  ]
  # The same inside of a compiled program.
  every = jax.jit(lambda step: [player.every(step) for player in gan.players])
  labels = [player.label for player in gan.players]
  for step, expected in enumerate(moves):
    turns = zip(labels, every(jnp.int32(step)), strict=True)
    assert tuple(label for label, turn in turns if turn) == expected


def test_a_phase_of_no_steps_has_no_move():
  labels = [x.label for x in game(embedding_steps=0).players]
  assert labels == ['supervised', 'generator', 'autoencoder', 'discriminator']


@pytest.mark.slow
def test_the_supervised_phase_leaves_the_generator_as_it_is(state):
  gan = game(embedding_steps=0)
  step = jax.jit(partial(jgan.train_step, gan, moves=('supervised',)))
  after, metrics = step(state, BATCH, jax.random.key(1))
  before, after = (x.variables for x in (state, after))
  for name in ('autoencoder', 'discriminator'):
    games.assert_close(after[name], before[name], 0)
  generator, supervisor = (
    [x['generator']['params'][name] for x in (before, after)]
    for name in ('generator', 'supervisor')
  )
  games.assert_close(*generator, 0)
  for a, b in zip(*map(jax.tree.leaves, supervisor), strict=True):
    assert (a != b).any()
  assert metrics['supervised/moved'] == 1
  assert metrics['generator/moved'] == 0


@pytest.mark.slow
def test_what_each_player_pays_by_hand(state):
  found = jax.jit(told())(state.variables, BATCH)

  def applied(name, module, method, *inputs):
    apply = partial(module.apply, method=method)
    return np.asarray(jax.jit(apply)(state.variables[name], *inputs), 'float64')

  coder = partial(applied, 'autoencoder', Autoencoder(2, 3, 1))
  maker = partial(applied, 'generator', Generator(3, 1))
  judge = partial(applied, 'discriminator', Discriminator(3, 1), '__call__')
  real, raw = coder('embed', SERIES), maker('generate', LATENT)
  fake = maker('supervise', raw)
  made = coder('recover', fake)

  def root(x):
    return np.sqrt((x**2).mean())

  missed = root(coder('recover', real) - SERIES)
  unforeseen = root(maker('supervise', real)[:, :-1] - real[:, 1:])
  of_real, of_fake, of_raw = map(judge, (real, fake, raw))
  moments = [
    np.abs(of(made) - of(np.asarray(SERIES, float))).mean()
    for of in (lambda x: x.mean(0), lambda x: np.sqrt(x.var(0) + 1e-6))
  ]
  adversarial = np.log1p(np.exp(-of_fake)).mean()
  adversarial += 0.5 * np.log1p(np.exp(-of_raw)).mean()
  expected = {
    'embedding': 10 * missed,
    'supervised': unforeseen**2,
    'autoencoder': 10 * missed + 0.1 * unforeseen**2,
    'generator': adversarial + 100 * unforeseen + 100 * sum(moments),
    'discriminator': np.log1p(np.exp(-of_real)).mean()
    + np.log1p(np.exp(of_fake)).mean()
    + 0.5 * np.log1p(np.exp(of_raw)).mean(),
  }
  assert {k: float(x.loss) for k, x in found.items()} == pytest.approx(
    expected, rel=1e-4
  )
  drawn = jax.jit(partial(jgan.sample, game()))(state, BATCH, jax.random.key(3))
  np.testing.assert_allclose(drawn, made, atol=1e-5)


@pytest.mark.parametrize(('threshold', 'moves'), [(0.1, True), (9.0, False)])
def test_the_discriminator_rests_where_its_loss_is_low(state, threshold, moves):
  player = game(threshold=threshold).players[-1]
  # Adam's moments of earlier moves would go on moving the params.
  adam = jax.tree.map(lambda x: x + 1, state.opt_state['discriminator'])
  before = state._replace(opt_state={**state.opt_state, 'discriminator': adam})
  after, metrics = jax.jit(partial(jgan.update, player))(
    before, BATCH, jax.random.key(1)
  )
  same = [
    (a == b).all()
    for a, b in zip(
      jax.tree.leaves((before.variables, before.opt_state)),
      jax.tree.leaves((after.variables, after.opt_state)),
      strict=True,
    )
  ]
  assert all(same) != moves
  assert 1 < float(metrics['loss']) < 9
  assert metrics['above_threshold'] == moves


def test_a_gradient_of_zero_is_as_if_it_had_not_been():
  adam = optax.adam(0.1)
  still = still_at_zero(adam)
  params = {'a': jnp.array([1.0, 2.0]), 'b': jnp.array(3.0)}

  def played(optimizer, scales):
    now, state = params, optimizer.init(params)
    for scale in scales:
      gradients = jax.tree.map(lambda x, by=scale: by * x, params)
      updates, state = optimizer.update(gradients, state, now)
      now = optax.apply_updates(now, updates)
    return now, state

  games.assert_close(
    played(still, [1.0, 0.0, 0.0, -2.0]), played(adam, [1.0, -2.0]), 1e-6
  )
  moved, _ = played(adam, [1.0, 0.0, 0.0, -2.0])
  assert abs(moved['b'] - played(adam, [1.0, -2.0])[0]['b']) > 0.01


def test_the_latents_of_the_batch_replace_the_draws(state):
  draw = jax.jit(partial(jgan.sample, game()))
  one, other = (draw(state, BATCH, jax.random.key(i)) for i in range(2))
  np.testing.assert_array_equal(one, other)
  asked = {'index': jnp.arange(4)}
  one, other = (draw(state, asked, jax.random.key(i)) for i in range(2))
  assert one.shape == (4, 5, 2)
  assert float(jnp.abs(one - other).max()) > 1e-5
  # Number 2 of four is number 2 alone.
  alone = draw(state, {'index': jnp.array([2])}, jax.random.key(0))
  np.testing.assert_allclose(alone[0], one[2], atol=1e-6)


def test_drawn_latents_are_uniform_in_every_step():
  inner = game().players[-1].loss.__self__
  asked = {'index': jnp.arange(1000)}
  latents = np.asarray(inner._draw(asked, jax.random.key(0), 3))
  assert 0 <= latents.min() < 0.01
  assert 0.99 < latents.max() < 1
  flat = latents.reshape(1000, 6)
  covariance = np.cov(flat, rowvar=False)
  np.testing.assert_allclose(covariance, np.eye(6) / 12, atol=0.01)


def test_in_training_samples_are_as_long_as_the_series_of_the_batch(state):
  longer = {'series': jnp.concatenate([SERIES, SERIES], 1)}
  losses = jax.eval_shape(told(), state.variables, longer)
  assert len(losses) == 5


def test_losses_are_those_of_the_examples_of_all_devices(state):
  mesh = jgan.sharding.data_mesh(jax.devices()[:2])
  divided = jax.shard_map(
    lambda *arguments: jax.tree.map(
      lambda x: jax.lax.pmean(x, 'batch'),
      {k: x.loss for k, x in told('batch')(*arguments).items()},
    ),
    mesh=mesh,
    in_specs=(P(), P('batch')),
    out_specs=P(),
  )
  parts = jax.jit(divided)(state.variables, BATCH)
  whole = jax.jit(told())(state.variables, BATCH)
  for label, loss in parts.items():
    assert float(loss) == pytest.approx(float(whole[label].loss), rel=1e-4)


def test_a_move_over_devices_is_that_of_one(state):
  mesh = jgan.sharding.data_mesh(jax.devices()[:2])
  one, many = game(), game(axis_name='batch')
  # Plain descent: Adam turns rounding into moves.
  sgd = optax.sgd(0.1)
  one, many = (
    next(x for x in gan.players if x.label == 'generator')._replace(
      optimizer=sgd
    )
    for gan in (one, many)
  )
  state = state._replace(
    opt_state={'generator': sgd.init(state.variables['generator']['params'])}
  )
  divided = jax.shard_map(
    partial(jgan.update, many, axis_name='batch'),
    mesh=mesh,
    in_specs=(P(), P('batch'), P()),
    out_specs=P(),
  )
  key = jax.random.key(1)
  got, _ = jax.jit(divided)(state, BATCH, key)
  expected, _ = jax.jit(partial(jgan.update, one))(state, BATCH, key)
  games.assert_close(got.variables, expected.variables, 1e-4)


def test_mistakes_are_named():
  init = partial(jgan.init, game(), jax.random.key(0))
  with pytest.raises(ValueError, match=r"'series' \[n, t, 2\], got \['x'\]"):
    init({'x': SERIES})
  with pytest.raises(ValueError, match=r'got \[4, 5, 1\]'):
    init({'series': SERIES[..., :1]})
  for name in ('layers', 'latent_dim'):
    with pytest.raises(ValueError, match=f'{name} must be 1 or more, got 0'):
      game(**{name: 0})
  with pytest.raises(ValueError, match='embedding_steps must be 0 or more'):
    game(embedding_steps=-1)
