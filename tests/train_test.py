"""The step: what it does to a state, and that it is the same everywhere."""

import functools
import inspect
import re
from collections import OrderedDict

import games
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from flax.core import freeze
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jgan

STEPS = 4
KEY = jax.random.key(42)
RELATIVISTIC = {
  'loss': jgan.losses.relativistic_average,  # compares across the batch
  'penalty': lambda critic, real, fake, keys: 0.1
  * jgan.penalties.gradient_penalty(critic, real, fake, keys),
}


@functools.cache
def plain():
  return games.game(**RELATIVISTIC)


@functools.cache
def parallel():
  return games.game('batch', **RELATIVISTIC)


def key():
  return jax.random.clone(KEY)


def batches():
  return [games.batch(seed=i) for i in range(STEPS)]


@functools.cache
def start():
  return jgan.init(plain(), key(), games.batch())


def play(step, state, batches):
  played = []
  for batch in batches:
    state, metrics = step(state, batch, key())
    # Collectives of steps in flight together deadlock on fake devices.
    played.append(jax.block_until_ready(metrics))
  return state, played


@functools.cache
def expected():
  step = functools.partial(jgan.train_step, plain())
  return play(step, start(), batches())


@pytest.mark.slow
def test_eager_is_jit():
  gan, batch = games.game(), games.batch()
  expected = jgan.train_step(gan, start(), batch, key())
  with jax.disable_jit():
    got = jgan.train_step(gan, start(), batch, key())
  games.assert_close(got, expected)


@pytest.mark.parametrize('devices', [1, 2, 8])
def test_sharded_jit_is_jit(devices):
  mesh = jgan.sharding.data_mesh(jax.devices()[:devices])
  state = jax.device_put(start(), jgan.sharding.replicated(mesh))
  sharded = jax.device_put(batches(), jgan.sharding.over_examples(mesh))
  step = functools.partial(jgan.train_step, plain())
  games.assert_close(play(step, state, sharded), expected())


@pytest.fixture
def keys_may_be_placed_anew():
  """jax 0.7 takes a key for used where its axes become Auto ones."""
  with jax.debug_key_reuse(False):
    yield


@pytest.mark.usefixtures('keys_may_be_placed_anew')
def test_over_explicit_axes_as_over_auto_ones():
  mesh = jax.make_mesh((4,), ('batch',), axis_types=(AxisType.Explicit,))
  state = jax.device_put(start(), jgan.sharding.replicated(mesh))
  sharded = jax.device_put(batches(), jgan.sharding.over_examples(mesh))
  step = functools.partial(jgan.train_step, plain())
  state, played = play(step, state, sharded)
  games.assert_close((state, played), expected())
  assert jax.typeof(state.step).sharding.mesh.axis_types == mesh.axis_types
  asked = {'index': jnp.arange(8), 'label': jnp.arange(8) % games.CLASSES}
  samples = jgan.sample(plain(), expected()[0], asked, key())
  asked = jax.device_put(asked, jgan.sharding.over_examples(mesh))
  parts = jgan.sample(plain(), state, asked, key())
  games.assert_close(parts, samples)
  assert parts.sharding.shard_shape(parts.shape)[0] == 2
  latents = {'latent': jnp.ones((8, 5)), 'label': asked['label']}
  latents = jax.device_put(latents, jgan.sharding.over_examples(mesh))
  parts = jgan.sample(plain(), state, latents, key())
  assert parts.sharding.shard_shape(parts.shape)[0] == 2


@pytest.mark.usefixtures('keys_may_be_placed_anew')
def test_params_divided_over_an_explicit_axis_stay_divided():
  mesh = jax.make_mesh((2,), ('model',), axis_types=(AxisType.Explicit,))
  gan = jgan.models.mlp((4,), width=8, maxout=4)
  batch = {'image': jnp.zeros((4, 4))}
  state = jgan.init(gan, key(), batch)

  def by_columns(x):
    last = x.ndim and x.shape[-1] % 2 == 0
    spec = P(*[None] * (x.ndim - 1), 'model') if last else P()
    return jax.device_put(x, NamedSharding(mesh, spec))

  parts = jax.tree.map(by_columns, state)
  wanted, _ = jgan.train_step(gan, state, batch, key())
  got, _ = jgan.train_step(gan, parts, batch, key())
  games.assert_close(got, wanted)
  assert jgan.sharding.specs(got) == jgan.sharding.specs(parts)


def divided(tree, n):
  return jax.tree.map(lambda x: x.reshape(n, -1, *x.shape[1:]), tree)


def test_pmap_of_one_state_is_jit():
  step = jax.pmap(
    functools.partial(jgan.train_step, parallel(), axis_name='batch'),
    axis_name='batch',
    in_axes=(None, 0, None),
    out_axes=None,
    devices=jax.devices()[:4],
  )
  got = play(step, start(), [divided(b, 4) for b in batches()])
  games.assert_close(got, expected())


@pytest.mark.slow
def test_pmap_of_stacked_states_is_jit():
  step = jax.pmap(
    functools.partial(jgan.train_step, parallel(), axis_name='batch'),
    axis_name='batch',
    in_axes=(0, 0, None),
    devices=jax.devices()[:2],
  )
  stacked = jax.tree.map(lambda x: jnp.stack([x, x]), start())
  state, metrics = play(step, stacked, [divided(b, 2) for b in batches()])
  for device in range(2):
    one = jax.tree.map(lambda x, d=device: x[d], (state, metrics))
    games.assert_close(one, expected())


@pytest.mark.parametrize('check_vma', [True, False])
def test_shard_map_is_jit(check_vma):
  mesh = jgan.sharding.data_mesh(jax.devices()[:4])
  step = jax.jit(
    jax.shard_map(
      functools.partial(jgan.train_step, parallel(), axis_name='batch'),
      mesh=mesh,
      in_specs=(P(), P('batch'), P()),
      out_specs=P(),
      check_vma=check_vma,
    )
  )
  games.assert_close(play(step, start(), batches()), expected())


@pytest.mark.parametrize('check_vma', [True, False])
def test_a_loss_of_what_devices_agree_on_moves_as_far_as_on_one(check_vma):
  def matching(axis_name):
    """The squared mean feature of the whole batch, the same everywhere."""

    def loss(variables, batch, key, step):
      features = variables['a']['params'] * batch['x'].mean()
      return jgan.LossOutput(jgan.sharding.mean(features, axis_name) ** 2)

    return jgan.Player('a', loss, optax.sgd(1.0))

  batch = {'x': jnp.arange(8.0)}
  start = {'a': {'params': jnp.float32(3)}}
  state = jgan.init(scalar_game(matching(None)), key(), batch, start)
  alone = jgan.update(matching(None), state, batch, key())
  step = jax.shard_map(
    functools.partial(jgan.update, matching('batch'), axis_name='batch'),
    mesh=jgan.sharding.data_mesh(jax.devices()[:4]),
    in_specs=(P(), P('batch'), P()),
    out_specs=P(),
    check_vma=check_vma,
  )
  games.assert_close(jax.jit(step)(state, batch, key()), alone)


@pytest.mark.parametrize('check_vma', [True, False])
def test_examples_may_be_divided_over_two_axes(check_vma):
  def loss(variables, batch, key, step):
    keys = jgan.example_keys(key, batch)
    noise = jax.vmap(lambda k: jax.random.normal(k, ()))(keys)
    scaled = variables['a']['params'] * (batch['x'] + noise)
    return jgan.LossOutput((scaled**2).mean(), {'batch_stats': scaled.mean()})

  player = jgan.Player('a', loss, optax.sgd(0.01))
  variables = {'a': {'params': jnp.float32(3), 'batch_stats': jnp.float32(0)}}
  gan = jgan.GAN(lambda key, batch: variables, (player,), str)
  batch = {'x': jnp.arange(8.0) / 8}
  state = jgan.init(gan, key(), batch)
  axes = ('rows', 'columns')
  step = jax.shard_map(
    functools.partial(jgan.train_step, gan, axis_name=axes),
    mesh=jax.make_mesh((2, 2), axes, axis_types=(AxisType.Auto,) * 2),
    in_specs=(P(), P(axes), P()),
    out_specs=P(),
    check_vma=check_vma,
  )
  alone = jgan.train_step(gan, state, batch, key())
  games.assert_close(jax.jit(step)(state, batch, key()), alone)


@pytest.mark.slow
def test_parallel_parts_are_numbered_where_the_batch_has_no_index():
  mesh = jgan.sharding.data_mesh(jax.devices()[:2])
  step = jax.jit(
    jax.shard_map(
      functools.partial(jgan.train_step, parallel(), axis_name='batch'),
      mesh=mesh,
      in_specs=(P(), P('batch'), P()),
      out_specs=P(),
    )
  )
  bare = [{k: b[k] for k in ('image', 'label')} for b in batches()]
  games.assert_close(play(step, start(), bare), expected())


@pytest.mark.parametrize(
  'unroll', [pytest.param(True, marks=pytest.mark.slow), False]
)
@pytest.mark.parametrize('stacked', [True, False])
def test_train_steps_is_single_steps(unroll, stacked):
  together = jax.tree.map(lambda *xs: jnp.stack(xs), *batches())

  def make(step):
    return jax.tree.map(lambda x: x[step], together)

  steps = jax.jit(
    functools.partial(jgan.train_steps, plain(), count=STEPS, unroll=unroll),
    static_argnums=() if stacked else 1,
  )
  state, metrics = steps(start(), together if stacked else make, key())
  single, played = expected()
  games.assert_close(state, single, 1e-5)
  means = jax.tree.map(lambda *xs: jnp.stack(xs).mean(), *played)
  games.assert_close(metrics, means, 1e-5)


def test_vmap_over_seeds_is_single_runs():
  seeds = [jax.random.key(3), jax.random.key(4)]
  axes = jgan.TrainState(step=None, variables=0, opt_state=0, ema_params=0)
  init = jax.vmap(
    functools.partial(jgan.init, plain()), (0, None), out_axes=axes
  )
  step = jax.vmap(
    functools.partial(jgan.train_step, plain()),
    (axes, None, 0),
    out_axes=(axes, 0),
  )

  def keys():
    return jnp.stack([jax.random.clone(seed) for seed in seeds])

  state = init(keys(), games.batch())
  for batch in batches():
    state, _ = step(state, batch, keys())
  for i, seed in enumerate(seeds):
    alone = jgan.init(plain(), seed, games.batch())
    for batch in batches():
      alone, _ = jgan.train_step(plain(), alone, batch, seed)
    one = jax.tree.map(lambda x, i=i: x[i], state.variables)
    games.assert_close(one, alone.variables)


def test_flops_per_device_shrink_with_devices():
  def flops(devices):
    mesh = jgan.sharding.data_mesh(jax.devices()[:devices])
    gan = jgan.models.dcgan(32, width=32)
    batch = {
      'image': jnp.zeros((256, 32, 32, 1)),
      'index': jnp.arange(256, dtype=jnp.int32),
    }
    state = jgan.init(gan, key(), batch)
    state = jax.device_put(state, jgan.sharding.replicated(mesh))
    batch = jax.device_put(batch, jgan.sharding.over_examples(mesh))
    step = jgan.train_step.lower(gan, state, batch, key()).compile()
    return step.cost_analysis()['flops']

  assert flops(4) <= 1.02 / 4 * flops(1)


def test_optimizers_do_not_turn_gradients_again():
  gan = jgan.models.dcgan(16, width=8)
  batch = {'image': jnp.zeros((4, 16, 16, 1))}
  state = jgan.init(gan, key(), batch)
  program = jgan.train_step.lower(
    gan, state, batch, key(), moves=jgan.moves(gan, 0)
  ).compile(jgan.rematerialization.COMPILER_OPTIONS)
  loops = [x for x in program.as_text().split('\n\n') if '/optimizer/' in x]
  turned = re.compile(r' (reverse|transpose)\(')
  fused = [x for x in loops if not x.startswith('ENTRY')]
  assert len(fused) > 1
  assert not [x for x in fused if turned.search(x)]


def test_the_generator_plays_once_for_two_moves():
  gan = jgan.models.dcgan(16, width=8)
  batch = {'image': jnp.zeros((4, 16, 16, 1))}
  state = jgan.init(gan, key(), batch)

  def convolutions(function):
    program = jax.jit(function).lower(state, batch, key()).compile()
    return len(re.findall(r' convolution\(', program.as_text()))

  def in_a_loop(state, batch, key):
    both = [('discriminator', 'generator')]
    return jgan.train_steps(
      gan, state, lambda _: batch, key, count=2, moves=both, unroll=False
    )

  moves = [
    convolutions(functools.partial(jgan.update, player))
    for player in gan.players
  ]
  forward = 2  # transposed convolutions
  once = sum(moves) - forward
  assert convolutions(functools.partial(jgan.train_step, gan)) == once
  assert convolutions(in_a_loop) == once


def test_init_compiles_one_program(caplog):
  gan, batch, seed = games.game(), games.batch(), key()
  with jax.log_compiles():
    jgan.init(gan, seed, batch)
  compiled = [
    record.getMessage()
    for record in caplog.records
    if 'Finished XLA compilation' in record.getMessage()
  ]
  assert len(compiled) == 1, compiled
  assert 'init' in compiled[0]


def test_init_depends_on_the_key_alone():
  again = jgan.init(plain(), key(), games.batch(seed=5))
  games.assert_close(again, start(), 1e-6)
  other = jgan.init(plain(), jax.random.key(1), games.batch())
  kernel = other.variables['generator']['params']['dense']['kernel']
  assert not np.allclose(
    kernel, start().variables['generator']['params']['dense']['kernel']
  )


def test_init_and_first_step_draw_different_randomness():
  seen = []
  gan = plain()._replace(
    init=lambda key, batch: seen.append(key) or dict(start().variables)
  )
  with jax.disable_jit():
    jgan.init(gan, key(), games.batch())
  data = jax.random.key_data(seen[0])
  init_key = jax.random.fold_in(key(), 0)
  np.testing.assert_array_equal(data, jax.random.key_data(init_key))
  step_key = jax.random.fold_in(jax.random.fold_in(key(), 1), 0)
  assert not np.array_equal(data, jax.random.key_data(step_key))


def test_step_is_the_documented_sequence_of_updates():
  step_key = jax.random.fold_in(jax.random.fold_in(key(), 1), 0)
  state = start()
  for player in plain().players:
    move = jax.jit(functools.partial(jgan.update, player))
    state, _ = move(state, games.batch(), jax.random.clone(step_key))
  got, _ = jgan.train_step(plain(), start(), games.batch(), key())
  games.assert_close(got.variables, state.variables)
  assert int(got.step) == 1
  assert int(state.step) == 0


def quadratic(target, name='a', **fields):
  """A player whose loss is half the squared distance to `target`."""

  def loss(variables, batch, key, step):
    x = variables[name]['params']
    return jgan.LossOutput(0.5 * (x - target) ** 2, {}, {'x': x})

  return jgan.Player(name, loss, optax.sgd(0.1), **fields)


def scalar_game(*players):
  def init(key, batch):
    return {p.name: {'params': jnp.zeros(())} for p in players}

  return jgan.GAN(init, players, lambda variables, batch, key: variables)


DATA = {'x': jnp.zeros((2,))}


def test_players_move_when_it_is_their_turn():
  gan = scalar_game(
    quadratic(1.0, 'a'),
    quadratic(1.0, 'b', every=3),
    quadratic(1.0, 'c', every=lambda step: step < 2),
  )
  state = jgan.init(gan, key(), DATA)
  moved = {'a': [], 'b': [], 'c': []}
  for step in range(6):
    static = jgan.moves(gan, step)
    by_hand, told = jgan.train_step(gan, state, DATA, key(), moves=static)
    state, metrics = jgan.train_step(gan, state, DATA, key())
    games.assert_close((state, metrics), (by_hand, told), 0)
    for name, turns in moved.items():
      turns.append(int(metrics[f'{name}/moved']))
  assert moved == {
    'a': [1, 1, 1, 1, 1, 1],
    'b': [0, 0, 1, 0, 0, 1],
    'c': [1, 1, 0, 0, 0, 0],
  }
  params = {k: float(v['params']) for k, v in state.variables.items()}
  for name, turns in moved.items():
    assert params[name] == pytest.approx(1 - 0.9 ** sum(turns), abs=1e-6)


def test_a_player_at_rest_has_derivatives():
  gan = scalar_game(quadratic(0.0))
  state = jgan.init(gan, key(), DATA)

  def after(x):
    start = state._replace(variables={'a': {'params': x}})
    end, metrics = jgan.train_step(gan, start, DATA, key())
    return end.variables['a']['params'] + metrics['a/gradient_norm']

  assert jax.grad(after)(0.0) == pytest.approx(0.9)


def test_who_sits_out_reports_zeros():
  gan = scalar_game(quadratic(1.0, 'a'), quadratic(1.0, 'b', every=2))
  state = jgan.init(gan, key(), DATA)
  _, metrics = jgan.train_step(gan, state, DATA, key(), moves=('a',))
  own = {k: float(v) for k, v in metrics.items() if k.startswith('b/')}
  assert own == {'b/loss': 0, 'b/gradient_norm': 0, 'b/x': 0, 'b/moved': 0}
  assert float(metrics['a/loss']) == 0.5


def test_train_steps_cycles_through_static_moves():
  gan = scalar_game(quadratic(1.0, 'a'), quadratic(1.0, 'b', every=2))
  state = jgan.init(gan, key(), DATA)
  cycle = [jgan.moves(gan, step) for step in range(2)]
  assert cycle == [('a',), ('a', 'b')]
  stacked = {'x': jnp.zeros((6, 2))}
  got, metrics = jgan.train_steps(gan, state, stacked, key(), moves=cycle)
  other, same = jgan.train_steps(gan, state, stacked, key())
  games.assert_close((got, metrics), (other, same), 1e-6)
  assert float(metrics['b/moved']) == 0.5
  # b moved from 0 thrice: its x before each move is 0, .1 and .19.
  assert float(metrics['b/x']) == pytest.approx((0 + 0.1 + 0.19) / 3)


def test_a_function_of_the_step_goes_on_where_the_state_is():
  gan = scalar_game(quadratic(1.0, 'a'))
  state = jgan.init(gan, key(), DATA)._replace(step=jnp.int32(5))
  asked = []

  def made(step):
    jax.debug.callback(lambda step: asked.append(int(step)), step)
    return DATA

  for moves in (None, [('a',), ('a',)]):
    asked.clear()
    after, _ = jgan.train_steps(gan, state, made, key(), count=4, moves=moves)
    jax.effects_barrier()
    assert sorted(asked) == [5, 6, 7, 8]
    assert int(after.step) == 9


def test_train_steps_is_jitted_as_its_docstring_says():
  gan = scalar_game(quadratic(1.0, 'a'), quadratic(1.0, 'b', every=2))
  state = jgan.init(gan, key(), DATA)
  cycle = tuple(jgan.moves(gan, step) for step in range(2))
  jitted = jax.jit(jgan.train_steps, static_argnames=('gan', 'moves'))
  stacked = {'x': jnp.zeros((4, 2))}
  got = jitted(gan, state, stacked, key(), moves=cycle)
  expected = jgan.train_steps(gan, state, stacked, key())
  games.assert_close(got, expected, 1e-6)
  static = ('gan', 'moves', 'batches', 'count')
  jitted = jax.jit(jgan.train_steps, static_argnames=static)
  made = jitted(gan, state, lambda step: DATA, key(), moves=cycle, count=4)
  assert int(made[0].step) == 4


def test_two_moves_of_one_player_share_its_optimizer_state():
  main = quadratic(1.0, 'a')._replace(optimizer=optax.adam(0.1))
  gan = scalar_game(main, main._replace(move='again'))
  state = jgan.init(gan, key(), DATA)
  state, metrics = jgan.train_step(gan, state, DATA, key())
  assert list(state.opt_state) == ['a']
  assert int(state.opt_state['a'][0].count) == 2
  assert 'again/loss' in metrics


def test_the_optimizer_of_a_sides_first_move_makes_its_state():
  main = quadratic(1.0, 'a')._replace(optimizer=optax.adam(0.1))
  other = main._replace(optimizer=optax.sgd(0.1), move='again')
  state = jgan.init(scalar_game(main, other), key(), DATA)
  assert int(optax.tree.get(state.opt_state['a'], 'count')) == 0


@pytest.mark.parametrize(
  ('decay', 'expected'),
  [
    (0.99, 0.9),  # capped by (1 + 0) / (10 + 0) = .1: .9 of the new params
    (0.05, 0.95),
    (lambda step: 0.75, 0.25),
  ],
)
def test_average_of_params(decay, expected):
  gan = scalar_game(quadratic(10.0, 'a', ema_decay=decay))
  state = jgan.init(gan, key(), DATA)
  state, _ = jgan.train_step(gan, state, DATA, key())
  assert float(state.variables['a']['params']) == pytest.approx(1)
  assert float(state.ema_params['a']) == pytest.approx(expected)
  sampled = jgan.sample(gan, state, DATA, key())
  assert float(sampled['a']['params']) == pytest.approx(expected)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_averages_of_params_of_half_precision_are_kept_in_float32(dtype):
  def loss(variables, batch, key, step):
    return jgan.LossOutput(variables['a']['params'].astype('float32'))

  player = jgan.Player(
    'a', loss, optax.sgd(1.0), every=2, ema_decay=lambda step: 0.999
  )
  variables = {'a': {'params': jnp.ones((), dtype)}}
  gan = scalar_game(player)._replace(init=lambda key, batch: variables)
  state = jgan.init(gan, key(), DATA)
  for _ in range(4):  # it is its turn twice
    state, _ = jgan.train_step(gan, state, DATA, key())
  average = state.ema_params['a']
  assert average.dtype == 'float32'
  assert float(average) == pytest.approx(0.999**2 - 0.001, abs=1e-6)
  assert jgan.sample(gan, state, DATA, key())['a']['params'].dtype == dtype


def test_decays_may_be_mapped():
  class OfTraced(jgan.GAN):
    __hash__, __eq__ = object.__hash__, object.__eq__

  def average(decay):
    gan = OfTraced(*scalar_game(quadratic(10.0, 'a', ema_decay=decay)))
    state = jgan.init(gan, key(), DATA)
    return jgan.train_step(gan, state, DATA, key())[0].ema_params['a']

  made = jax.vmap(average)(jnp.array([0.05, 0.02]))
  np.testing.assert_allclose(made, [0.95, 0.98], rtol=1e-6)


def test_state_can_be_donated_from_the_first_step():
  gan = games.game(ema_decay=0.9)
  state = jgan.init(gan, key(), games.batch())
  step = jax.jit(functools.partial(jgan.train_step, gan), donate_argnums=0)
  state, _ = step(state, games.batch(), key())
  state, _ = step(state, games.batch(), key())
  assert int(state.step) == 2


def test_samples_of_an_empty_batch_are_refused():
  with pytest.raises(ValueError, match=r"sample: .*'index': jnp.arange\(16\)"):
    jgan.sample(plain(), start(), {}, key())


def test_samples_depend_on_the_key_and_their_number():
  def sample(index):
    conditions = {'index': jnp.array(index), 'label': jnp.zeros(3, int)}
    return jgan.sample(plain(), start(), conditions, key())

  images = sample([0, 1, 2])
  assert images.shape == (3, 8, 8, 1)
  np.testing.assert_allclose(sample([2, 0, 1]), images[jnp.array([2, 0, 1])])
  assert not np.allclose(images[0], images[1])
  # Its key is neither that of the init nor that of steps.
  gan = plain()._replace(sample=lambda variables, batch, key: key)
  got = jgan.sample(gan, start(), {'index': jnp.arange(3)}, key())
  expected = jax.random.key_data(jax.random.fold_in(key(), 2))
  np.testing.assert_array_equal(jax.random.key_data(got), expected)


def test_latents_of_the_batch_replace_the_draw():
  conditions = {
    'latent': jnp.ones((3, 5)),
    'label': jnp.ones(3, int),
  }
  images = jgan.sample(plain(), start(), conditions, key())
  np.testing.assert_allclose(images, jnp.broadcast_to(images[:1], images.shape))


def test_standing_statistics_are_plain_averages_over_batches():
  gan = games.game(ema_decay=0.5)
  state = jgan.init(gan, key(), games.batch())
  for batch in batches():
    state, _ = jgan.train_step(gan, state, batch, key())
  got = jgan.standing_statistics(gan, state, batches(), key())
  averaged = {
    **state.variables['generator'],
    'params': state.ema_params['generator'],
  }
  moments, loss = [], jax.jit(gan.players[1].loss)
  for i, batch in enumerate(batches()):
    out = loss(
      {**state.variables, 'generator': averaged},
      batch,
      jax.random.fold_in(key(), i),
      state.step,
    )
    # Undo one move of momentum .9 by hand, in the plain BatchNorm.
    old = averaged['batch_stats']['BatchNorm_0']['mean']
    new = out.mutated['batch_stats']['BatchNorm_0']['mean']
    moments.append((new - 0.9 * old) / 0.1)
  np.testing.assert_allclose(
    got.variables['generator']['batch_stats']['BatchNorm_0']['mean'],
    sum(moments) / len(moments),
    atol=1e-5,
  )
  # Spectral norm's vectors are no statistics of a batch.
  name = 'SpectralNorm_0'
  games.assert_close(
    got.variables['discriminator']['batch_stats'][name],
    state.variables['discriminator']['batch_stats'][name],
    1e-6,
  )
  games.assert_close(got.ema_params, state.ema_params, 0)


@pytest.mark.parametrize('returned', [True, False])
def test_standing_statistics_of_norms_at_rest_stay(returned):
  statistics = {'used': {'mean': jnp.ones(2)}, 'at_rest': {'mean': jnp.ones(2)}}

  def loss(variables, batch, key, step):
    old = variables['a']['batch_stats']
    used = {'mean': 0.9 * old['used']['mean'] + 0.1 * batch['x']}
    moved = {'batch_stats': {**old, 'used': used}}
    loss = variables['a']['params']
    return jgan.LossOutput(loss, moved if returned else {})

  variables = {'a': {'params': jnp.zeros(()), 'batch_stats': statistics}}
  gan = scalar_game(jgan.Player('a', loss, optax.sgd(1.0)))
  gan = gan._replace(init=lambda key, batch: variables)
  batch = {'x': jnp.array([2.0, 4.0])}
  state = jgan.init(gan, key(), batch)
  got = jgan.standing_statistics(gan, state, [batch], key())
  got = got.variables['a']['batch_stats']
  np.testing.assert_allclose(got['at_rest']['mean'], 1)
  expected = batch['x'] if returned else 1
  np.testing.assert_allclose(got['used']['mean'], expected, rtol=1e-5)


def test_standing_statistics_pass_over_those_that_are_no_norms():
  def loss(variables, batch, key, step):
    own = variables['a']
    count, scale = own['batch_stats']['pair']
    mutated = {'batch_stats': {'pair': (count + 1, scale)}}
    return jgan.LossOutput(own['params'] ** 2, mutated)

  def begin(key, batch):
    pair = (jnp.zeros(()), jnp.ones(()))
    return {'a': {'params': jnp.ones(()), 'batch_stats': {'pair': pair}}}

  player = jgan.Player('a', loss, optax.sgd(0.1))
  gan = jgan.GAN(begin, (player,), lambda variables, batch, key: variables)
  state = jgan.init(gan, key(), DATA)
  got = jgan.standing_statistics(gan, state, [DATA], key())
  games.assert_close(got, state, 0)


def test_init_starts_from_given_variables():
  given = {'generator': start().variables['generator']}
  state = jgan.init(plain(), jax.random.key(7), games.batch(), given)
  games.assert_close(state.variables['generator'], given['generator'], 0)


def test_errors_say_who_needed_and_got():
  state = start()
  with pytest.raises(ValueError, match=r"'critic'.*players of this GAN"):
    jgan.init(plain(), key(), games.batch(), {'critic': {}})
  wrong = {'generator': {'params': {'dense': {'bias': jnp.zeros(3)}}}}
  with pytest.raises(ValueError, match=r'needs .*got .*arrays differ'):
    jgan.init(plain(), key(), games.batch(), wrong)
  with pytest.raises(ValueError, match=r"'generator'\], got \('critic',\)"):
    jgan.train_step(plain(), state, games.batch(), key(), moves=('critic',))
  ragged = {**games.batch(), 'label': jnp.zeros(3, int)}
  with pytest.raises(ValueError, match='agree in their leading axis'):
    jgan.train_step(plain(), state, ragged, key())
  twice = plain()._replace(players=plain().players * 2)
  with pytest.raises(ValueError, match='different labels'):
    jgan.train_step(twice, state, games.batch(), key())
  with pytest.raises(ValueError, match='`count` is needed'):
    jgan.train_steps(plain(), state, lambda step: games.batch(), key())
  with pytest.raises(ValueError, match='needs one step or more'):
    jgan.train_steps(plain(), state, lambda step: games.batch(), key(), count=0)
  averaging = games.game(ema_decay=0.9)
  bare = state._replace(ema_params={})
  with pytest.raises(ValueError, match=r'the generator keeps.*jgan\.init\('):
    jgan.train_step(averaging, bare, games.batch(), key())


def test_params_given_to_init_without_their_collection_are_explained():
  params = start().variables['generator']['params']
  with pytest.raises(ValueError, match=r"\['generator'\].*{'params': params}"):
    jgan.init(plain(), key(), games.batch(), {'generator': params})


def test_an_optimizer_is_given_the_loss_of_all_devices():
  def loss(variables, batch, key, step):
    x = variables['a']['params']
    return jgan.LossOutput(0.5 * ((x - batch['x']) ** 2).mean(), {}, {})

  polyak = optax.polyak_sgd(
    max_learning_rate=10.0
  )  # by loss over slope squared
  gan = scalar_game(jgan.Player('a', loss, polyak))
  batch = {'x': jnp.array([0.0, 2.0])}
  state = jgan.init(gan, key(), batch)
  step = jax.pmap(
    functools.partial(jgan.train_step, gan, axis_name='batch'),
    axis_name='batch',
    in_axes=(None, 0, None),
    out_axes=None,
    devices=jax.devices()[:2],
  )
  apart = step(state, {'x': batch['x'][:, None]}, key())
  for new, metrics in (jgan.train_step(gan, state, batch, key()), apart):
    assert float(new.variables['a']['params']) == pytest.approx(1.0)
    assert float(metrics['a/loss']) == pytest.approx(1.0)
  plateau = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau())
  gan = scalar_game(quadratic(1.0, 'a')._replace(optimizer=plateau))
  new, _ = jgan.train_step(gan, jgan.init(gan, key(), DATA), DATA, key())
  assert float(new.variables['a']['params']) == pytest.approx(0.1)


@pytest.mark.parametrize(
  ('first', 'then'),
  [(optax.sgd(0.1), optax.adam(0.1)), (optax.lbfgs(), optax.lbfgs())],
  ids=['of another state', 'that asks for more'],
)
def test_an_optimizer_that_cannot_move_is_named(first, then):
  player = quadratic(1.0, 'a')._replace(optimizer=first)
  state = jgan.init(scalar_game(player), key(), DATA)
  with pytest.raises((AttributeError, TypeError)) as caught:
    jgan.update(player._replace(optimizer=then), state, DATA, key())
  assert any(n.startswith('a: its optimizer') for n in caught.value.__notes__)


def test_an_optimizer_that_takes_no_value_is_told_how_to():
  sam = optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.01))
  player = quadratic(1.0, 'a')._replace(optimizer=sam)
  state = jgan.init(scalar_game(player), key(), DATA)
  with pytest.raises(TypeError, match='value') as caught:
    jgan.update(player, state, DATA, key())
  way = 'optax.GradientTransformation(*optimizer)'
  assert any(way in note for note in caught.value.__notes__)
  player = player._replace(optimizer=optax.GradientTransformation(*sam))
  for _ in range(2):
    state, _ = jgan.update(player, state, DATA, key())
  assert float(state.variables['a']['params']) > 0


@pytest.mark.parametrize('every', [0, -1, 2.5, np.nan, '2', None])
def test_players_move_every_whole_number_of_steps(every):
  first, last = plain().players
  gan = plain()._replace(players=(first, last._replace(every=every)))
  with pytest.raises(ValueError, match=f"'generator' moves.*got {every!r}"):
    jgan.init(gan, key(), games.batch())


@pytest.mark.parametrize('optimizer', [None, optax.adam, 1e-4])
def test_what_is_no_optimizer_is_told(optimizer):
  first, last = plain().players
  gan = plain()._replace(players=(first, last._replace(optimizer=optimizer)))
  with pytest.raises(ValueError, match="'generator' needs an optimizer"):
    jgan.init(gan, key(), games.batch())


@pytest.mark.parametrize('decay', [9, -0.1, np.nan, '0.9'])
def test_decays_of_an_average_are_from_0_to_1(decay):
  first, last = plain().players
  gan = plain()._replace(players=(first, last._replace(ema_decay=decay)))
  with pytest.raises(ValueError, match=f"'generator' keeps.*got {decay!r}"):
    jgan.init(gan, key(), games.batch())


def test_players_are_a_tuple_of_such():
  for players in (plain().players[0], (), (None,)):
    gan = plain()._replace(players=players)
    with pytest.raises(ValueError, match='needs a tuple of players'):
      jgan.init(gan, key(), games.batch())


def test_batches_are_checked_before_the_first_state():
  ragged = {**games.batch(), 'latent': jnp.zeros((3, 5))}
  with pytest.raises(ValueError, match='agree in their leading axis'):
    jgan.init(plain(), key(), ragged)


def test_a_batch_without_examples_is_refused():
  empty = jax.tree.map(lambda x: x[:0], games.batch())
  state = start()
  for call in (
    lambda: jgan.init(plain(), key(), empty),
    lambda: jgan.train_step(plain(), state, empty, key()),
    lambda: jgan.sample(plain(), state, {'latent': jnp.zeros((0, 5))}, key()),
  ):
    with pytest.raises(ValueError, match='needs one example or more'):
      call()


def test_several_keys_in_place_of_the_runs_are_refused(monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  keys, batch, state = jax.random.split(key()), games.batch(), start()
  (player, _) = plain().players
  for call in (
    lambda: jgan.init(plain(), keys, batch),
    lambda: jgan.train_step(plain(), state, batch, keys),
    lambda: jgan.update(player, state, batch, jax.random.key_data(keys)),
    lambda: jgan.sample(plain(), state, batch, keys),
    lambda: jgan.standing_statistics(plain(), state, [batch], keys),
  ):
    with pytest.raises(ValueError, match=r'needs one key.*got \[2\]'):
      call()


@pytest.mark.parametrize('wrong', [lambda: 'generator', plain])
def test_an_update_of_no_player_is_refused(wrong, monkeypatch):
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(ValueError, match=r'update: needs a jgan.Player.*got a '):
    jgan.update(wrong(), start(), games.batch(), key())


def test_standing_statistics_need_a_batch():
  with pytest.raises(ValueError, match='needs one batch or more'):
    jgan.standing_statistics(plain(), start(), [], key())


def test_train_steps_takes_arrays_of_numpy_uncompiled():
  stacked = jax.tree.map(lambda *xs: np.stack(xs), *batches()[:2])
  state, _ = jgan.train_steps(plain(), start(), stacked, key(), unroll=False)
  assert int(state.step) == 2


@pytest.mark.parametrize(
  ('mutated', 'message'),
  [
    ({'pool': jnp.zeros(3)}, "a collection 'pool'"),
    ({'batch_stats': jnp.zeros(3, int)}, r'needs float32\[3\], got int32'),
    ({'batch_stats': jnp.zeros(2)}, r'needs float32\[3\], got float32\[2\]'),
    ({'params': jnp.zeros(())}, "returned 'params' in `mutated`"),
  ],
)
def test_collections_of_another_form_are_refused(mutated, message):
  def loss(variables, batch, key, step):
    return jgan.LossOutput(variables['a']['params'], mutated)

  gan = jgan.GAN(
    lambda key, batch: {
      'a': {'params': jnp.zeros(()), 'batch_stats': jnp.zeros(3)}
    },
    (jgan.Player('a', loss, optax.sgd(0.1)),),
    lambda variables, batch, key: variables,
  )
  state = jgan.init(gan, key(), DATA)
  with pytest.raises(ValueError, match=message):
    jgan.train_step(gan, state, DATA, key())


@pytest.mark.parametrize(
  ('begun', 'returned'), [(freeze, dict), (dict, freeze), (dict, OrderedDict)]
)
def test_collections_may_come_in_other_containers(begun, returned):
  def loss(variables, batch, key, step):
    own = variables['a']
    moved = {name: x + i for i, (name, x) in enumerate(own['kept'].items())}
    moved = dict(sorted(moved.items(), reverse=True))
    return jgan.LossOutput(own['params'] ** 2, {'kept': returned(moved)})

  def begin(key, batch):
    kept = {'one': jnp.float32(1), 'two': jnp.float32(2)}
    return {'a': {'params': jnp.ones(()), 'kept': begun(kept)}}

  player = jgan.Player('a', loss, optax.sgd(0.1), every=2)
  gan = jgan.GAN(begin, (player,), lambda variables, batch, key: variables)
  first = jgan.init(gan, key(), DATA)
  got, _ = jgan.train_steps(
    gan, first, lambda step: DATA, key(), count=2, unroll=False
  )
  assert jax.tree.structure(got) == jax.tree.structure(first)
  kept = got.variables['a']['kept']
  assert (float(kept['one']), float(kept['two'])) == (1, 3)


def test_frozen_variables_given_to_init_make_the_state_of_others():
  given = {'generator': freeze(start().variables['generator'])}
  state = jgan.init(plain(), jax.random.key(7), games.batch(), given)
  assert jax.tree.structure(state) == jax.tree.structure(start())


def test_a_state_of_another_game_is_told(monkeypatch):
  gan, asked = plain(), {'index': jnp.arange(2), 'label': jnp.arange(2)}
  variables = {'critic': {}, 'generator': start().variables['generator']}
  other = start()._replace(variables=variables)
  message = r"of \['discriminator', 'generator'\], got one of \['critic', 'gen"
  with pytest.raises(ValueError, match=f'^train_step: needs a state {message}'):
    jgan.train_step(gan, other, games.batch(), key())
  with pytest.raises(ValueError, match=f'^standing_statistics: .*{message}'):
    jgan.standing_statistics(gan, other, [games.batch()], key())
  with pytest.raises(ValueError, match=r'^update: .*of \[.disc.*jgan\.init'):
    jgan.update(gan.players[0], other, games.batch(), key())
  jgan.sample(gan, other, asked, key())  # which reads the generator alone
  other = other._replace(variables={'critic': {}})
  with pytest.raises(ValueError, match=r"^sample: .*got one of \['critic'\]"):
    jgan.sample(gan, other, asked, key())
  monkeypatch.setattr(jaxtyping.config, 'jaxtyping_disable', True)
  with pytest.raises(
    ValueError, match=r'sample: needs a jgan\.TrainState, got'
  ):
    jgan.sample(gan, start()._asdict(), asked, key())


def one_player(loss) -> jgan.GAN:
  def begin(key, batch):
    return {'a': {'params': jnp.ones(())}}

  player = jgan.Player('a', loss, optax.sgd(0.1))
  return jgan.GAN(begin, (player,), lambda variables, batch, key: variables)


@pytest.mark.parametrize(
  ('returned', 'message'),
  [
    (lambda w: w, r'a: its loss needs to return jgan\.LossOutput'),
    (lambda w: (w, {}), 'got a tuple'),
    (lambda w: jgan.LossOutput(w * jnp.ones(3)), r'got float32\[3\]'),
    (lambda w: jgan.LossOutput(jnp.int32(1)), r'got int32\[\]'),
    (lambda w: jgan.LossOutput(w, {}, {'m': jnp.ones(3)}), r"'m' of shape \[3"),
    (lambda w: jgan.LossOutput(w, {}, {'m': 'high'}), "'m', a str; .*scalars"),
    (lambda w: jgan.LossOutput(w, {}, {'m': {'n': w}}), "'m', a dict;"),
    (lambda w: jgan.LossOutput(w, None), '`mutated` by name.*got a NoneType'),
    (lambda w: jgan.LossOutput(w, {}, [w]), '`metrics` by name.*got a list'),
    (lambda w: jgan.LossOutput(w, {}, {'loss': w}), "'loss', a name"),
    (lambda w: jgan.LossOutput(w, {}, {'moved': w}), "'moved', a name"),
    (lambda w: jgan.LossOutput(w, {}, {'gradient_norm': w}), 'a name that'),
  ],
)
def test_a_loss_that_returns_something_else_is_told(returned, message):
  gan = one_player(lambda variables, *rest: returned(variables['a']['params']))
  state = jgan.init(gan, key(), DATA)
  with pytest.raises(ValueError, match=message):
    jgan.train_step(gan, state, DATA, key())


def test_what_a_loss_sets_in_its_batch_and_variables_others_do_not_see():
  def loss(variables, batch, key, step):
    seen = variables['a']['params'] * batch['x'].sum()
    batch['x'] = 0 * seen * batch['x']
    variables['a']['params'] = None
    return jgan.LossOutput(seen)

  gan = one_player(loss)
  (first,) = gan.players
  gan = gan._replace(players=(first, first._replace(move='again')))
  batch = {'x': jnp.ones(2), 'index': jnp.arange(2)}
  _, metrics = jgan.train_step(gan, jgan.init(gan, key(), batch), batch, key())
  assert metrics['a/loss'] == 2
  np.testing.assert_allclose(metrics['again/loss'], 2 * (1 - 0.1 * 2))


def test_players_without_params_are_named():
  gan = one_player(None)
  for given in ({'b': {'params': 0.0}}, {'a': {'kernel': 0.0}}):
    wrong = gan._replace(init=lambda key, batch, given=given: given)
    with pytest.raises(ValueError, match=r"init needs to give 'a'.*'params'"):
      jgan.init(wrong, key(), DATA)


@pytest.mark.parametrize('wrong', [0, None, jnp.zeros(4, jnp.uint32)])
def test_what_is_no_key_is_told(wrong):
  typed = inspect.unwrap(jgan.sharding.typed)  # without the types of the tests
  with pytest.raises(ValueError, match=r'needs a key as of jax\.random\.key'):
    typed(wrong)


def test_old_style_keys_play_the_same_game():
  old, _ = jgan.train_step(
    plain(), start(), games.batch(), jax.random.PRNGKey(42)
  )
  new, _ = jgan.train_step(plain(), start(), games.batch(), key())
  games.assert_close(old, new, 0)


def test_old_style_keys_follow_the_default_of_the_time():
  default = jax.config.jax_default_prng_impl
  try:
    for impl in ('threefry2x32', 'rbg', 'threefry2x32'):
      jax.config.update('jax_default_prng_impl', impl)
      typed = jgan.sharding.typed(jax.random.PRNGKey(0))
      assert str(jax.random.key_impl(typed)) == impl
  finally:
    jax.config.update('jax_default_prng_impl', default)


def test_one_more_batch_of_the_same_shape_does_not_retrace():
  traced = []

  def loss(variables, batch, key, step):
    traced.append(step)
    return jgan.LossOutput(0.5 * variables['a']['params'] ** 2)

  gan = scalar_game(jgan.Player('a', loss, optax.sgd(0.1)))
  state = jgan.init(gan, key(), DATA)
  for _ in range(3):
    state, _ = jgan.train_step(gan, state, DATA, key())
  assert len(traced) == 1
