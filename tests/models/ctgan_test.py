"""CTGAN: entries of rows, conditions that are obeyed, and what is private."""

import forwards
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgan
from jgan.models.ctgan import (
  Category,
  Critic,
  Generator,
  Number,
  Privacy,
  activated,
  condition_loss,
  row_width,
)

COLUMNS = (Category((6.0, 3.0, 1.0)), Number(2), Category((1.0, 4.0)))
WIDTH = 3 + 3 + 2
SMALL = {'latent_dim': 3, 'generator_widths': (8,), 'critic_widths': (8,)}


def batch(n=6, seed=0):
  """Rows that meet their conditions."""
  rng = np.random.default_rng(seed)
  codes = [rng.integers(0, k, n) for k in (3, 2, 2)]
  hot = [np.eye(k)[x] for k, x in zip((3, 2, 2), codes, strict=True)]
  scalar = rng.uniform(-1, 1, (n, 1))
  row = np.concatenate([hot[0], scalar, *hot[1:]], 1).astype(np.float32)
  condition = np.where(rng.random(n) < 0.5, codes[0], 3 + codes[2])
  return {
    'row': jnp.asarray(row),
    'condition': jnp.asarray(condition.astype(np.int32)),
    'index': jnp.arange(n, dtype=jnp.int32),
  }


def test_entries_of_a_row():
  assert row_width(COLUMNS) == WIDTH
  entries = jnp.array([[1.0, 2.0, 0.0, 0.5, -1.0, 1.0, 3.0, 0.0]])
  gumbel = jnp.array([[1.0, 0.0, 0.0, 9.0, 2.0, 0.0, 0.0, 4.0]])
  got = np.asarray(activated(COLUMNS, entries, gumbel, 0.5))[0]
  e2 = np.exp(2)  # of (2 - 1) / .5
  expected = np.concatenate(
    [
      np.exp([4, 4, 0]) / np.exp([4, 4, 0]).sum(),
      [np.tanh(0.5)],
      [0.5, 0.5],
      [1 / (1 + e2), e2 / (1 + e2)],
    ]
  )
  np.testing.assert_allclose(got, expected, atol=1e-6)
  cold = np.asarray(activated(COLUMNS, entries, gumbel, 0.01))[0]
  np.testing.assert_allclose(cold[6:], [0, 1], atol=1e-6)


def test_the_condition_loss_reads_the_column_that_is_named():
  entries = jnp.tile(
    jnp.array([1.0, 2.0, 0.0, 7.0, 5.0, 6.0, 3.0, 1.0]), (3, 1)
  )
  got = condition_loss(COLUMNS, entries, jnp.array([1, 2, 4]))
  first, last = np.array([1.0, 2.0, 0.0]), np.array([3.0, 1.0])
  expected = [
    np.log(np.exp(first).sum()) - 2,
    np.log(np.exp(first).sum()),
    np.log(np.exp(last).sum()) - 1,
  ]
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_parameter_counts_are_the_papers():
  gan = jgan.models.ctgan(COLUMNS)
  state = jax.eval_shape(
    lambda key, x: jgan.init(gan, key, x), jax.random.key(0), batch(20)
  )
  counted = {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }
  seen = 128 + 5  # the noise and the conditions
  generator = seen * 256 + 2 * 256 + (seen + 256) * 256 + 2 * 256
  generator += (seen + 512) * WIDTH + WIDTH
  critic = 10 * (WIDTH + 5) * 256 + 256 + 256 * 256 + 256 + 256
  assert counted == {'generator': generator, 'discriminator': critic}


def test_the_generator_by_hand():
  inputs = forwards.normal(5, 3), forwards.normal(5, 2, seed=2)
  module = Generator(4, (3, 2))
  variables = forwards.made(module, *inputs, train=True)
  params, x = variables['params'], np.concatenate(inputs, -1)
  for i in range(2):
    y = forwards.dense(params[f'Dense_{i}'], x)
    y = forwards.relu(forwards.batch_norm(params[f'BatchNorm_{i}'], y))
    x = np.concatenate([y, x], -1)
  x = forwards.dense(params['Dense_2'], x)
  forwards.assert_computes(module, variables, inputs, x, train=True)


def test_the_critic_by_hand_but_for_its_dropout():
  x = seen = forwards.normal(5, 6)
  module = Critic((4, 3))
  variables = forwards.made(module, seen, train=False)
  for i in range(2):
    x = forwards.dense(variables['params'][f'Dense_{i}'], x)
    x = forwards.leaky_relu(x)
  x = forwards.dense(variables['params']['Dense_2'], x)[:, 0]
  forwards.assert_computes(module, variables, (seen,), x, train=False)


def test_kernels_start_uniform_and_the_smaller_the_more_inputs():
  seen = jnp.zeros((2, 25))
  params = Critic((64, 36)).init(jax.random.key(0), seen, train=False)['params']
  for i, inputs in enumerate((25, 64)):
    kernel, most = params[f'Dense_{i}']['kernel'], inputs**-0.5
    assert 0.99 * most < np.abs(kernel).max() <= most
    assert kernel.std() == pytest.approx(most / np.sqrt(3), rel=0.05)


def test_weights_decay_through_adam():
  params = {'x': jnp.array([2.0, -1.0])}
  for player in jgan.models.ctgan(COLUMNS, weight_decay=1e-3).players:
    adam = player.optimizer
    gradients = jax.tree.map(jnp.zeros_like, params)
    updates, _ = adam.update(gradients, adam.init(params), params)
    np.testing.assert_allclose(updates['x'], [-2e-4, 2e-4], rtol=1e-3)


@pytest.mark.parametrize('dropout', [0.0, 0.5])
def test_the_generators_move_drops_other_units(dropout):
  gan = jgan.models.ctgan(COLUMNS, **SMALL, pack=1, dropout=dropout)

  @jax.jit
  def told():
    state = jgan.init(gan, jax.random.key(0), batch())
    return [
      player.loss(state.variables, batch(), jax.random.key(1), state.step)
      for player in gan.players
    ]

  critic, generator = (dict(output.metrics) for output in told())
  logits = -float(generator['adversarial'])
  assert (float(critic['fake_logits']) == pytest.approx(logits, 1e-4)) == (
    dropout == 0
  )


def test_the_penalty_drops_the_units_dropped_for_the_reals(monkeypatch):
  def penalty(critic, real, fake, keys):
    return critic(real)

  monkeypatch.setattr(jgan.penalties, 'gradient_penalty', penalty)
  gan = jgan.models.ctgan(COLUMNS, **SMALL, pack=1)

  @jax.jit
  def told():
    variables = gan.init(jax.random.key(0), batch())
    arguments = variables, batch(), jax.random.key(1), jnp.int32(0)
    return dict(gan.players[0].loss(*arguments).metrics)

  metrics = told()
  real = 10 * float(metrics['real_logits'])
  assert float(metrics['penalty']) == pytest.approx(real, rel=1e-4)


@pytest.fixture(scope='module')
def obedient():
  """A generator without layers that copies its condition into the entries."""
  gan = jgan.models.ctgan(COLUMNS, latent_dim=3, generator_widths=(), pack=1)
  state = jgan.init(gan, jax.random.key(0), batch())
  kernel = np.zeros((3 + 5, WIDTH), np.float32)
  kernel[[3, 4, 5], [0, 1, 2]] = kernel[[6, 7], [6, 7]] = 50.0
  dense = {'kernel': jnp.asarray(kernel), 'bias': jnp.zeros(WIDTH)}
  variables = {**state.variables, 'generator': {'params': {'Dense_0': dense}}}
  return gan, state._replace(variables=variables)


def test_conditions_are_drawn_by_frequency(obedient):
  gan, state = obedient
  n = 6000
  conditions = {'index': jnp.arange(n)}
  rows = jgan.sample(gan, state, conditions, jax.random.key(3))
  assert rows.shape == (n, WIDTH)
  shares = np.eye(3)[np.asarray(rows[:, :3]).argmax(1)].mean(0)
  # Half of the rows are told the first column, and half are free: 1/3 each.
  np.testing.assert_allclose(
    shares, (np.array([0.6, 0.3, 0.1]) + 1 / 3) / 2, atol=0.02
  )
  last = np.eye(2)[np.asarray(rows[:, 6:]).argmax(1)].mean(0)
  np.testing.assert_allclose(last, (np.array([0.2, 0.8]) + 0.5) / 2, atol=0.02)


def test_conditions_that_are_asked_for_are_given(obedient):
  gan, state = obedient
  asked = jnp.arange(40) % 5
  rows = np.asarray(
    jgan.sample(gan, state, {'condition': asked}, jax.random.key(3))
  )
  np.testing.assert_allclose(
    rows[np.arange(40), np.array([0, 1, 2, 6, 7])[asked]], 1, atol=1e-6
  )
  for group in (rows[:, :3], rows[:, 4:6], rows[:, 6:]):
    np.testing.assert_allclose(group.sum(1), 1, atol=1e-5)


def test_the_generators_loss_counts_what_disobeys(obedient):
  gan, state = obedient
  generator = gan.players[1]

  def missed(variables):
    output = generator.loss(
      variables, batch(), jax.random.key(0), jnp.zeros((), int)
    )
    return float(output.metrics['condition'])

  assert missed(state.variables) == pytest.approx(0, abs=1e-5)
  zeros = jax.tree.map(jnp.zeros_like, state.variables['generator'])
  told = np.asarray(batch()['condition'])
  expected = np.where(told < 3, np.log(3), np.log(2)).mean()
  assert missed({**state.variables, 'generator': zeros}) == pytest.approx(
    expected, rel=1e-5
  )


def test_what_the_critic_pays_by_hand():
  """A linear critic has one slope everywhere, that of a whole pack."""
  gan = jgan.models.ctgan(
    COLUMNS, generator_widths=(), critic_widths=(), pack=3
  )
  rows = batch() | {'gumbel': jnp.zeros((6, WIDTH))}
  state = jgan.init(gan, jax.random.key(0), rows)
  kernel = np.random.default_rng(1).normal(size=(3 * (WIDTH + 5), 1))
  variables = {
    'generator': jax.tree.map(jnp.zeros_like, state.variables['generator']),
    'discriminator': {'params': {'Dense_0': {'kernel': jnp.asarray(kernel)}}},
  }
  paid = gan.players[0].loss(
    variables, rows, jax.random.key(2), jnp.zeros((), int)
  )
  fake = np.array([1 / 3, 1 / 3, 1 / 3, 0, 1 / 2, 1 / 2, 1 / 2, 1 / 2])
  missing = np.pad(fake - np.asarray(rows['row']), ((0, 0), (0, 5)))
  adversarial = (missing.reshape(2, -1) @ kernel).mean()
  penalty = 10 * (np.linalg.norm(kernel) - 1) ** 2
  assert float(paid.metrics['adversarial']) == pytest.approx(adversarial, 1e-4)
  assert float(paid.metrics['penalty']) == pytest.approx(penalty, rel=1e-4)
  assert float(paid.loss) == pytest.approx(adversarial + penalty, rel=1e-4)


def test_without_categories_there_is_no_condition():
  gan = jgan.models.ctgan((Number(2), Number(1)), **SMALL, pack=2)
  row = jnp.tile(jnp.array([0.5, 1.0, 0.0, -0.5, 1.0]), (4, 1))
  state = jgan.init(gan, jax.random.key(0), {'row': row})
  state, metrics = jgan.train_step(gan, state, {'row': row}, jax.random.key(1))
  assert 'generator/condition' not in metrics
  assert all(np.isfinite(x) for x in metrics.values())
  rows = jgan.sample(gan, state, {'index': jnp.arange(3)}, jax.random.key(2))
  np.testing.assert_allclose(np.asarray(rows)[:, 4], 1)


CLIP = 0.5


@pytest.fixture(scope='module')
def private():
  # So little noise that one sees what would be hidden.
  gan = jgan.models.ctgan(COLUMNS, **SMALL, pack=1, privacy=Privacy(CLIP, 1e-6))
  return gan, jgan.init(gan, jax.random.key(0), batch())


def test_a_row_moves_the_critic_by_no_more_than_the_clip(private):
  gan, state = private
  critic = gan.players[0]
  own = state.variables['discriminator']

  @jax.jit
  def summed(examples):
    def objective(params, part, key):
      variables = {
        **state.variables,
        'discriminator': {**own, 'params': params},
      }
      output = critic.loss(variables, part, key, state.step)
      return output.loss, output

    _, grads = critic.gradient(
      objective, own['params'], examples, jax.random.key(1)
    )
    return jax.tree.map(lambda g: g * 6, grads)  # examples in the batch

  ones = {**batch(), 'weight': jnp.ones(6)}
  whole = summed(ones)
  norms = []
  for i in range(6):
    without = {**ones, 'weight': jnp.ones(6).at[i].set(0.0)}
    change = jax.tree.map(lambda a, b: a - b, whole, summed(without))
    norms.append(float(optax.tree.norm(change)))
    # Nobody else's gradient depends on what the row that is left out holds.
    other = batch(seed=9)
    swapped = {
      name: without[name].at[i].set(other[name][i])
      for name in ('row', 'condition')
    }
    same = summed({**without, **swapped})
    difference = jax.tree.map(lambda a, b: a - b, summed(without), same)
    assert float(optax.tree.norm(difference)) < 1e-5
  assert max(norms) <= CLIP + 1e-4
  assert min(norms) > 0.1 * CLIP


def test_the_private_critic_sees_fakes_that_are_made_one_by_one():
  privacy = Privacy(CLIP, 1.0)
  gan = jgan.models.ctgan(
    COLUMNS, **SMALL, pack=1, dropout=0.0, privacy=privacy
  )
  both = batch(2)

  @jax.jit
  def told():
    variables = gan.init(jax.random.key(0), both)
    halves = [jax.tree.map(lambda x, i=i: x[i : i + 1], both) for i in range(2)]
    losses = [
      gan.players[0].loss(variables, rows, jax.random.key(1), jnp.int32(0))
      for rows in (both, *halves)
    ]
    return [output.metrics['fake_logits'] for output in losses]

  together, *alone = told()
  np.testing.assert_allclose(together, np.mean(alone), rtol=1e-4)


def test_the_private_generators_move_reads_no_row(private):
  gan, state = private

  @jax.jit
  def loss(examples):
    output = gan.players[1].loss(
      state.variables, examples, jax.random.key(1), state.step
    )
    return output.loss, output.mutated

  one = loss({**batch(), 'weight': jnp.ones(6)})
  other = loss({**batch(seed=4), 'weight': jnp.zeros(6)})
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_private_step_has_noise_and_moves_all():
  gan = jgan.models.ctgan(COLUMNS, **SMALL, pack=1, privacy=Privacy(1.0, 2.0))
  examples = {**batch(), 'weight': jnp.zeros(6)}  # nobody was drawn
  state = jgan.init(gan, jax.random.key(0), examples)
  after, metrics = jgan.train_step(gan, state, examples, jax.random.key(1))
  assert metrics['discriminator/loss'] == 0
  for name, own in state.variables.items():
    for a, b in zip(
      jax.tree.leaves(own['params']),
      jax.tree.leaves(after.variables[name]['params']),
      strict=True,
    ):
      assert not np.array_equal(a, b)


@pytest.mark.parametrize(
  ('columns', 'arguments', 'message'),
  [
    ((), {}, 'needs a column or more'),
    ((Number(0),), {}, 'a number needs a mode'),
    ((Category((1.0, 0.0)),), {}, 'positive frequency'),
    ((Category(()),), {}, 'positive frequency'),
    (COLUMNS, {'pack': 0}, 'pack of 1 or more'),
    (COLUMNS, {'temperature': 0.0}, 'positive temperature'),
    (COLUMNS, {'privacy': Privacy(1.0, 1.0)}, 'needs pack=1, got 10'),
    (COLUMNS, {'pack': 1, 'privacy': Privacy(1.0, 0.0)}, 'a noise above 0'),
    (COLUMNS, {'pack': 1, 'privacy': Privacy(0.0, 1.0)}, 'a positive clip'),
  ],
)
def test_what_cannot_be_is_refused(columns, arguments, message):
  with pytest.raises(ValueError, match=message):
    jgan.models.ctgan(columns, **arguments)


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    ({'row': jnp.zeros((6, 5))}, r"'row' \[n, 8\], got \[6, 5\]"),
    ({'row': None}, r"'row' \[n, 8\], got \['condition'\]"),
    ({'condition': None}, "needs a 'condition'"),
    ({}, 'batch of 6 does not divide into packs of 4'),
  ],
)
def test_batches_that_do_not_suit_are_refused(changed, message):
  gan = jgan.models.ctgan(COLUMNS, **SMALL, pack=4)
  examples = {**batch(), **changed}
  del examples['index']
  examples = {name: x for name, x in examples.items() if x is not None}
  with pytest.raises(ValueError, match=message):
    jgan.init(gan, jax.random.key(0), examples)
