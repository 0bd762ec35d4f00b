"""One game on 1, 2, 4, ... devices: the same run, and what dividing it costs.

The batch is the same for all. On a CPU the devices are fake ones that share its
cores, so there a step on eight takes as long as on one but for what the
dividing itself costs: that is what the ratio tells.

FLOPs on several devices are over those on one: above 1, something is computed
more than once.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import optax

import jgan
from experiments import data, runtime
from experiments.benchmarks.turns import in_turns, ratio

FAKE = 8  # devices of a CPU; to be set before jax starts any
BATCH, WIDTH, RESOLUTION = 64, 32, 32
PLAYED = 5  # steps after which runs are compared


class Way(NamedTuple):
  """The step of the game on some devices.

  Attributes:
    devices: their number.
    step: compiled; (state, batch, key) -> (state, metrics).
    state, batch, key: what it starts from, on the devices.
    reduce: compiled; sums an array of the gradients' size over the devices.
    shares: what it sums, a part on each device.
  """

  devices: int
  step: jax.stages.Compiled
  state: jgan.TrainState
  batch: jgan.Batch
  key: jax.Array
  reduce: jax.stages.Compiled
  shares: jax.Array


def scaling(turns: int = 10, steps: int = 3) -> str:
  """Tells of each number of devices whether it plays the same, and how fast.

  Args:
    turns: of the numbers of devices.
    steps: in a turn.

  Returns:
    A table as text.
  """
  devices = jax.devices()
  counts = [2**i for i in range(len(devices).bit_length())]
  ways = [way(devices[:count]) for count in counts]
  ends = [play(each, PLAYED) for each in ways]
  seconds = in_turns(
    [functools.partial(_run, each, steps) for each in ways]
    + [functools.partial(_reduce, each, steps) for each in ways],
    turns,
  )
  step, summing = np.split(seconds / steps, 2, axis=1)
  flops = [each.step.cost_analysis()['flops'] * each.devices for each in ways]
  lines = [
    f'DCGAN {RESOLUTION}x{RESOLUTION}, width {WIDTH}, global batch {BATCH}; '
    f'{turns} turns of {steps} steps; {devices[0].device_kind}, '
    f'jax {jax.__version__}',
    'devices  ms/step  time over one          FLOPs  collectives  '
    'their sum, ms  largest difference after '
    f'{PLAYED} steps',
  ]
  for i, each in enumerate(ways):
    median, (low, high) = ratio(step[:, i], step[:, 0])
    count = each.step.as_text().count(' all-reduce(')
    lines.append(
      f'{each.devices:7}  {1e3 * np.median(step[:, i]):7.1f}  '
      f'{median:5.2f} [{low:.2f}, {high:.2f}]  {flops[i] / flops[0]:8.3f}  '
      f'{count:11}  {1e3 * np.median(summing[:, i]):13.2f}  '
      f'{difference(ends[i], ends[0]):.1e}'
    )
  return '\n'.join(lines)


def way(devices: Sequence[jax.Device]) -> Way:
  """The game, compiled for these devices. SGD, so that rounding stays small."""
  gan = game()
  mesh = jgan.sharding.data_mesh(devices)
  everywhere = jgan.sharding.replicated(mesh)
  divided = jgan.sharding.over_examples(mesh)
  rng = np.random.default_rng(0)
  shape = BATCH, RESOLUTION, RESOLUTION, 3
  batch = jax.device_put(
    {
      'image': rng.integers(0, 256, shape, np.uint8),
      'index': np.arange(BATCH, dtype=np.int32),
    },
    divided,
  )
  key = jax.device_put(jax.random.key(0), everywhere)
  init = jax.jit(
    lambda key, batch: jgan.init(gan, key, data.to_float(batch)),
    out_shardings=everywhere,
  )
  state = init(key, batch)

  def step(state, batch, key):
    moves = jgan.moves(gan, 0)
    return jgan.train_step(gan, state, data.to_float(batch), key, moves=moves)

  size = max(
    sum(x.size for x in jax.tree.leaves(own['params']))
    for own in state.variables.values()
  )
  shares = jax.device_put(np.zeros((len(devices), size), np.float32), divided)
  total = jax.jit(lambda x: x.sum(0), out_shardings=everywhere)
  return Way(
    len(devices),
    jax.jit(step, out_shardings=everywhere)
    .lower(state, batch, key)
    .compile(runtime.compiler_options()),
    state,
    batch,
    key,
    total.lower(shares).compile(),
    shares,
  )


@functools.cache
def game() -> jgan.GAN:
  """A DCGAN that is trained by SGD."""
  gan = jgan.models.dcgan(RESOLUTION, 3, width=WIDTH)
  players = (
    player._replace(optimizer=optax.sgd(1e-3)) for player in gan.players
  )
  return gan._replace(players=tuple(players))


def play(each: Way, steps: int) -> tuple[jgan.TrainState, jgan.Metrics]:
  """The state and the metrics after so many steps from the first."""
  state, metrics = each.state, {}
  for _ in range(steps):
    state, metrics = each.step(state, each.batch, each.key)
    # Many collectives at a time can block each other on fake devices.
    jax.block_until_ready(metrics)
  return jax.device_get((state, metrics))


def difference(one: jgan.TrainState, other: jgan.TrainState) -> float:
  """The largest, of two runs' arrays, over the largest entry of each."""
  return max(
    float(np.abs(x - y).max() / max(np.abs(y).max(), 1e-6))
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  )


def _run(each, steps, turn):
  del turn
  play(each, steps)


def _reduce(each, steps, turn):
  del turn
  for _ in range(steps):
    jax.block_until_ready(each.reduce(each.shares))
