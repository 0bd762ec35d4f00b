"""CycleGAN: its pool by hand and over devices, its losses, its directions."""

from functools import partial

import forwards
import games
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import translators
from jax.sharding import PartitionSpec as P

import jgan
from jgan.models.cyclegan import Discriminators, Translator, exchanged

KEY = jax.random.key(1)
SMALL = {'width': 4, 'discriminator_width': 4, 'blocks': 1, 'layers': 1}


def game(**numbers):
  """The game with small networks; the game is what is tested."""
  with translators.small():
    return jgan.models.cyclegan(1, 1, **numbers)


def pictures(channels, seed, n=4, side=8):
  draw = np.random.default_rng(seed).standard_normal((n, side, side, channels))
  return jnp.asarray(np.tanh(draw), jnp.float32)


BATCH = {
  'x': pictures(1, 0),
  'y': pictures(1, 1),
  'index': jnp.arange(4, dtype=jnp.int32),
}


def shown(pool, count, fakes, keep, slot):
  """`exchanged` of pictures of one pixel, given by their values."""
  size, n = len(pool), len(fakes)
  result = jax.jit(exchanged)(
    jnp.asarray(pool, jnp.float32).reshape(size, 1, 1, 1),
    jnp.int32(count),
    jnp.asarray(fakes, jnp.float32).reshape(n, 1, 1, 1),
    jnp.asarray(keep, bool),
    jnp.asarray(slot, jnp.int32),
  )
  return [np.asarray(x).ravel().tolist() for x in result]


@pytest.mark.parametrize(
  ('pool', 'count', 'keep', 'slot', 'expected'),
  [
    # Not full: it fills and shows the fakes, whatever the draws are.
    ([0, 0, 0], 0, [1, 1], [2, 2], ([1, 2], [1, 2, 0], [2])),
    # It becomes full with the first; the second takes the place of it.
    ([7, 8, 0], 2, [0, 1], [0, 2], ([1, 1], [7, 8, 2], [3])),
    # Full: not kept, a fake is shown and the pool stays.
    ([7, 8, 9], 3, [0, 0], [1, 1], ([1, 2], [7, 8, 9], [3])),
    # Full: each kept one takes a place, and who was there is shown.
    ([7, 8, 9], 3, [1, 1], [1, 2], ([8, 9], [7, 1, 2], [3])),
    ([7, 8, 9], 3, [1, 0], [0, 0], ([7, 2], [1, 8, 9], [3])),
    # Two of one batch to one place: the second meets the first there.
    ([7, 8, 9], 3, [1, 1], [1, 1], ([8, 1], [7, 2, 9], [3])),
  ],
)
def test_the_pool_by_hand(pool, count, keep, slot, expected):
  assert shown(pool, count, [1, 2], keep, slot) == list(map(list, expected))


def test_no_fake_is_lost_or_doubled():
  rng = np.random.default_rng(0)
  pool, count, seen = [0] * 5, 0, []
  for step in range(20):
    fakes = [1 + 3 * step + i for i in range(3)]
    out, pool, (count,) = shown(
      pool, count, fakes, rng.random(3) < 0.5, rng.integers(5, size=3)
    )
    seen += out
  first = set(range(1, 6))  # these were shown when they came, and kept
  assert sorted(set(seen) | set(pool)) == list(range(1, 61))
  assert len(set(seen) - first) == len([x for x in seen if x not in first])


@pytest.fixture(scope='module')
def played():
  """A game with a small pool: its states, metrics, and what samples of it."""
  gan = game(pool_size=6, identity_weight=0.5)
  start = jax.jit(partial(jgan.init, gan))(jax.random.key(0), BATCH)
  step = jax.jit(partial(jgan.train_step, gan))
  states, metrics = [start], []
  for _ in range(2):
    state, told = step(states[-1], BATCH, KEY)
    states.append(state)
    metrics.append(told)
  draw = jax.jit(partial(jgan.sample, gan))
  return states, metrics, lambda state, batch: draw(state, batch, KEY)


def test_the_pool_fills_with_the_fakes_of_each_step(played):
  states, _, draw = played
  pools = [s.variables['discriminator']['pool'] for s in states]
  assert [int(pool['x']['count']) for pool in pools] == [0, 4, 6]
  assert pools[0]['y']['fakes'].shape == (6, 8, 8, 1)
  first, second = draw(states[0], BATCH), draw(states[1], BATCH)
  for name in ('x', 'y'):
    fakes = pools[1][name]['fakes']
    games.assert_close(fakes[:4], first[f'fake_{name}'], 1e-4)
    np.testing.assert_array_equal(fakes[4:], 0)
    # Four more come: two find room, the others may take anyone's place.
    known = np.concatenate([first[f'fake_{name}'], second[f'fake_{name}']])
    pool = np.asarray(pools[2][name]['fakes'])
    apart = np.abs(pool[:, None] - known).max((2, 3, 4))
    assert (apart.min(1) < 1e-4).all()
    assert set(range(4, 8)) & set(apart.argmin(1))


def test_losses_by_hand(played):
  (start, *_), (told, *_), draw = played
  made = draw(start, BATCH)
  both = Discriminators(translators.Patches(), translators.Patches())
  own = {'params': start.variables['discriminator']['params']}
  judge = jax.jit(lambda x, y: both.apply(own, x, y, train=True))
  real, fake = jax.tree.map(
    lambda logits: np.asarray(logits, np.float64),
    (judge(BATCH['x'], BATCH['y']), judge(made['fake_x'], made['fake_y'])),
  )
  halves = []
  for i, name in enumerate('xy'):
    halves.append((((real[i] - 1) ** 2).mean() + (fake[i] ** 2).mean()) / 2)
    got = told[f'discriminator/adversarial_{name}']
    assert got == pytest.approx(halves[i], rel=1e-4)
  assert told['discriminator/loss'] == pytest.approx(sum(halves), rel=1e-4)
  swapped = draw(start, {**BATCH, 'x': BATCH['y'], 'y': BATCH['x']})
  cycle, identity = (
    sum(
      np.abs(np.asarray(made[f'{kind}_{name}'] - BATCH[name])).mean()
      for name in 'xy'
    )
    for made, kind in ((made, 'cycle'), (swapped, 'fake'))
  )
  assert told['generator/cycle'] == pytest.approx(cycle, rel=1e-4)
  assert told['generator/identity'] == pytest.approx(identity, rel=1e-4)
  # The discriminators have moved before: their logits have, by little.
  adversarial = sum(((logits - 1) ** 2).mean() for logits in fake)
  assert told['generator/adversarial'] == pytest.approx(adversarial, rel=0.05)
  total = told['generator/adversarial'] + 10 * cycle + 5 * identity
  assert told['generator/loss'] == pytest.approx(float(total), rel=1e-4)


def test_one_direction_can_be_asked_for(played):
  (state, *_), _, draw = played
  both = draw(state, BATCH)
  assert set(both) == {'fake_y', 'cycle_x', 'fake_x', 'cycle_y'}
  one = draw(state, {'y': BATCH['y']})
  assert set(one) == {'fake_x', 'cycle_y'}
  games.assert_close(one, {name: both[name] for name in one})
  with pytest.raises(ValueError, match=r"'x', 'y' or both, got \['index'\]"):
    draw(state, {'index': BATCH['index']})


def pool_of(step, state):
  """After three moves, of 12 fakes for 6 places: some are exchanged."""
  for seed in range(3):
    batch = {**BATCH, 'x': pictures(1, seed), 'y': pictures(1, 10 + seed)}
    state, _ = jax.block_until_ready(step(state, batch, KEY))
  return state.variables['discriminator']['pool']


MOVES = ('discriminator',)  # only it has a pool


@pytest.fixture(scope='module')
def on_one_device():
  gan = game(pool_size=6)
  state = jax.jit(partial(jgan.init, gan))(jax.random.key(0), BATCH)
  step = jax.jit(partial(jgan.train_step, gan, moves=MOVES))
  return state, pool_of(step, state)


def test_the_pool_is_the_same_on_all_devices_of_a_shard_map(on_one_device):
  state, expected = on_one_device
  gan = game(pool_size=6, axis_name='batch')
  step = jax.shard_map(
    partial(jgan.train_step, gan, moves=MOVES, axis_name='batch'),
    mesh=jgan.sharding.data_mesh(jax.devices()[:2]),
    in_specs=(P(), P('batch'), P()),
    out_specs=P(),
  )
  games.assert_close(pool_of(jax.jit(step), state), expected, 1e-4)


def test_the_pool_is_the_same_of_sharded_arrays(on_one_device):
  state, expected = on_one_device
  mesh = jgan.sharding.data_mesh(jax.devices()[:2])
  split = jgan.sharding.over_examples(mesh)
  state = jax.device_put(state, jgan.sharding.replicated(mesh))
  gan = game(pool_size=6)
  step = jax.jit(partial(jgan.train_step, gan, moves=MOVES))
  # Compiled once, as the training loop does: the state must stay replicated.
  compiled = step.lower(state, jax.device_put(BATCH, split), KEY).compile()

  def play(state, batch, key):
    return compiled(state, jax.device_put(batch, split), key)

  games.assert_close(pool_of(play, state), expected, 1e-4)


def test_the_domains_may_differ_in_channels():
  gan = jgan.models.cyclegan(1, 3, **SMALL)
  batch = {**BATCH, 'y': pictures(3, 1)}
  state = jax.eval_shape(partial(jgan.init, gan), KEY, batch)
  made = jax.eval_shape(partial(jgan.sample, gan), state, batch, KEY)
  shapes = {name: x.shape[-1] for name, x in made.items()}
  assert shapes == {'fake_y': 3, 'cycle_x': 1, 'fake_x': 1, 'cycle_y': 3}
  with pytest.raises(ValueError, match=r'identity loss needs .* got 1 and 3'):
    jgan.models.cyclegan(1, 3, identity_weight=0.5)


def test_a_translator_leaves_pixels_where_they_are():
  # Of the middle taps alone, which see one pixel of 4x4.
  module = Translator(1, blocks=1, width=1)
  images = jnp.eye(16**2).reshape(-1, 16, 16, 1)
  form = jax.eval_shape(module.init, KEY, images)

  def middle(x):
    taps = jnp.zeros(x.shape)
    return taps.at[x.shape[0] // 2, x.shape[1] // 2].set(1)

  variables = jax.tree.map_with_path(
    lambda path, x: (
      middle(x)
      if path[-1].key == 'kernel'
      else jnp.full(x.shape, float(path[-1].key == 'scale'))
    ),
    form,
  )
  made = np.asarray(jax.jit(module.apply)(variables, images))
  seen = made.reshape(len(images), -1)
  places = np.flatnonzero(np.ptp(seen, 1) > 0.1)
  assert len(places) == 16
  assert (seen[places].argmax(1) == places).all()


def test_parameter_counts_are_the_papers():
  gan = jgan.models.cyclegan()
  batch = {name: jnp.zeros((1, 256, 256, 3)) for name in 'xy'}
  state = jax.eval_shape(partial(jgan.init, gan), jax.random.key(0), batch)
  counted = {
    name: sum(x.size for x in jax.tree.leaves(own['params']))
    for name, own in state.variables.items()
  }
  kernels = 49 * 3 * 64 + 9 * (64 * 128 + 128 * 256) + 18 * 9 * 256**2
  kernels += 9 * (256 * 128 + 128 * 64) + 49 * 64 * 3
  norms = 2 * (64 + 128 + 256 + 18 * 256 + 128 + 64)
  patch = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 64 + 1
  patch += 2 * (128 + 256 + 512)
  assert counted == {
    'generator': 2 * (kernels + norms + 3),
    'discriminator': 2 * patch,
  }


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'y': None}, "needs 'x' and 'y'.*y missing"),
    ({'y': pictures(3, 0)}, r'y needs pictures of .* 1\], got \[4, 8, 8, 3\]'),
    (
      {'x': pictures(1, 0, side=10)},
      r'multiples of 4 .* x of \[4, 10, 10, 1\]',
    ),
    ({'x': pictures(1, 0, side=12)}, r'same height .*\[4, 12, 12, 1\]'),
  ],
)
def test_a_batch_of_other_pictures_is_named(change, message):
  batch = {k: v for k, v in {**BATCH, **change}.items() if v is not None}
  with pytest.raises(ValueError, match=message):
    jgan.init(jgan.models.cyclegan(1, 1, **SMALL), jax.random.key(0), batch)


def test_a_pool_without_room_is_refused():
  with pytest.raises(ValueError, match='pool_size must be 1 or more, got 0'):
    jgan.models.cyclegan(pool_size=0)


def test_a_translator_by_hand():
  x = forwards.normal(2, 8, 8, 2)
  module = Translator(3, blocks=1, width=2)
  variables = forwards.made(module, x)
  params, convs, norms = variables['params'], iter(range(6)), iter(range(7))

  def norm(x):
    return forwards.instance_norm(params[f'InstanceNorm_{next(norms)}'], x)

  def conv(x, stride=1):
    own = params[f'Conv_{next(convs)}']
    if stride == 2:
      return forwards.conv(own, x, 2)
    margin = own['kernel'].shape[0] // 2
    edges = [(0, 0), (margin, margin), (margin, margin), (0, 0)]
    return forwards.conv(own, np.pad(x, edges, 'reflect'), 1, (0, 0))

  y = forwards.relu(norm(conv(x)))
  for _ in range(2):
    y = forwards.relu(norm(conv(y, 2)))
  y = y + norm(conv(forwards.relu(norm(conv(y)))))
  for i in range(2):
    y = forwards.grow(params[f'ConvTranspose_{i}'], y)
    y = forwards.relu(norm(y))
  y = np.tanh(conv(y))
  forwards.assert_computes(module, variables, (x,), y)
