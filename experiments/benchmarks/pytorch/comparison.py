"""jgan's training step against PyTorch's, game by game, in turns.

A game is timed only where both frameworks compute the same, see `parity`.
jgan's step runs as the training loop runs it: compiled for each pattern of
moves, the state donated. PyTorch's runs as written, and with its networks
compiled by `torch.compile`; the faster of the two counts. Both draw their own
latents, and step by Adam.
"""

import functools
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
import torch
from tqdm import tqdm

import jgan
from experiments.benchmarks.pytorch import (
  dcgan,
  gru,
  mlp,
  parity,
  sngan,
  stylegan2,
  wgan_gp,
)
from experiments.benchmarks.pytorch.game import (
  Game,
  Modules,
  channels_first,
  step,
)
from experiments.benchmarks.turns import in_turns, ratio
from experiments.errors import UserError
from jgan.metrics.intervals import Interval

GAMES: Mapping[str, tuple[Callable[[], Game], Callable[[], Game]]] = {
  'mlp': (mlp.game, mlp.small),
  'gru24': (lambda: gru.game(24), gru.small),
  'gru100': (lambda: gru.game(100), gru.small),
  'dcgan32': (lambda: dcgan.game(32), dcgan.small),
  'dcgan64': (lambda: dcgan.game(64), dcgan.small),
  'sngan': (sngan.game, sngan.small),
  'wgan-gp': (wgan_gp.game, wgan_gp.small),
  'stylegan2': (stylegan2.game, stylegan2.small),
}
"""What makes the game, and its small version for `parity`."""

TURNS = 10
_TURN, _PART = 1.0, 0.3  # seconds of jgan's in a turn
_PART_TURNS = 5
_RATE, _B1, _B2 = 2e-4, 0.5, 0.999  # of Adam

Moves = tuple[str, ...]
Turn = Callable[[int], None]
"""Plays so many steps, and waits for the last."""


class Row(NamedTuple):
  """What is told of a game.

  Attributes:
    name: of the game.
    batch: examples in a step.
    params: of both players.
    seconds: of a step, by way: 'jgan', 'eager', and 'compiled' where it works.
    faster: PyTorch's faster way.
    ratio: its time over jgan's, the median of the turns, and an interval.
    gflop: of jgan's step, by XLA's count.
    compilation: seconds that jgan's step takes to compile.
    adam: the implementation that PyTorch's optimizer runs.
    parts: by the name of a part of the step, seconds of jgan and of PyTorch's
      eager way, and their ratio.
    remark: why there is no compiled way, or nothing.
  """

  name: str
  batch: int
  params: int
  seconds: Mapping[str, float]
  faster: str
  ratio: tuple[float, Interval]
  gflop: float
  compilation: float
  adam: str
  parts: Mapping[str, tuple[float, float, tuple[float, Interval]]]
  remark: str


def compare(
  names: Sequence[str], turns: int = TURNS, steps: int | None = None
) -> str:
  """The tables of some games, or of all where none is named.

  Args:
    names: of `GAMES`.
    turns: of each way.
    steps: in a turn, rounded up to whole cycles of moves; None for as many as
      jgan plays in a second.

  Raises:
    UserError: there is no game of a name, or too few turns or steps.
  """
  if unknown := set(names) - set(GAMES):
    raise UserError(
      f'--only: there are no games {", ".join(sorted(unknown))}; the games are '
      f'{", ".join(GAMES)}'
    )
  if turns < 2:
    raise UserError(f'--turns={turns}: an interval needs at least 2')
  if steps is not None and steps < 1:
    raise UserError(f'--steps={steps}: at least 1 is needed')
  if jax.default_backend() != 'cpu':
    raise UserError(
      'the games of PyTorch run on the CPU, but jax found '
      f'{jax.devices()[0].device_kind}. Run: JAX_PLATFORMS=cpu python -m '
      'experiments.benchmark torch'
    )
  torch.set_num_threads(os.cpu_count())
  rows, refused = [], []
  for name in tqdm(names or list(GAMES), desc='games', disable=None):
    game, small = (make() for make in GAMES[name])
    if reason := parity.refusal(game, small):
      refused.append(f'{name}: not compared, since {reason}')
    else:
      rows.append(row(name, game, turns, steps))
  parts = [rows and table(rows), rows and table_of_parts(rows), *refused]
  return '\n\n'.join([*filter(None, parts), machine()])


def row(name: str, game: Game, turns: int, steps: int | None) -> Row:
  """Times a game; see `Row`."""
  gan = parity.with_optimizer(game.gan, optax.adam(_RATE, _B1, _B2))
  key, rng = jax.random.key(0), np.random.default_rng(0)
  real = rng.uniform(-1, 1, game.real).astype(np.float32)
  batch = {'image': jax.device_put(real)}
  state = jgan.init(gan, key, batch)
  count = math.lcm(*(player.every for player in gan.players))
  cycle = [jgan.moves(gan, number) for number in range(count)]
  program = programs(gan, state, batch, key)
  start = time.perf_counter()
  flops = [program(moves).cost_analysis()['flops'] for moves in cycle]
  compilation = time.perf_counter() - start
  adam = faster_adam(parity.copied(game, state))

  def ours(moves):
    return jgan_turn(program, state, batch, key, moves)

  def theirs(moves, compiled=False):
    modules = parity.copied(game, state)
    if compiled:
      for module in modules.values():
        module.compile()
    return torch_turn(game, modules, adam, torch.from_numpy(real), moves)

  ways, remark = {'jgan': ours(cycle), 'eager': theirs(cycle)}, ''
  compiled = theirs(cycle, compiled=True)
  try:
    compiled(count)
    ways['compiled'] = compiled
  except RuntimeError as error:
    remark = f'not compiled: {str(error).strip().splitlines()[0]}'
  per_step = timed(ways, turns, steps, count, _TURN)
  faster = min(ways.keys() - {'jgan'}, key=lambda way: np.median(per_step[way]))
  parts = {}
  for player in gan.players:
    pair = {
      way: make([(player.label,)])
      for way, make in zip(('jgan', 'eager'), (ours, theirs), strict=True)
    }
    parts[f'{player.label} alone'] = pair
  parts['samples alone'] = samplers(game, gan, state, batch, key)
  return Row(
    name=name,
    batch=game.real[0],
    params=sum(
      leaf.size
      for variables in state.variables.values()
      for leaf in jax.tree.leaves(variables['params'])
    ),
    seconds={way: float(np.median(x)) for way, x in per_step.items()},
    faster=faster,
    ratio=ratio(per_step[faster], per_step['jgan']),
    gflop=float(np.mean(flops)) / 1e9,
    compilation=compilation,
    adam=next(iter(adam)),
    parts={name: part(pair, steps) for name, pair in parts.items()},
    remark=remark,
  )


def part(pair: Mapping[str, Turn], steps: int | None):
  """Times a part of the step; see `Row`."""
  per_step = timed(pair, _PART_TURNS, steps, 1, _PART)
  ours, theirs = per_step['jgan'], per_step['eager']
  return float(np.median(ours)), float(np.median(theirs)), ratio(theirs, ours)


def timed(
  ways: Mapping[str, Turn],
  turns: int,
  steps: int | None,
  cycle: int,
  seconds: float,
) -> dict[str, np.ndarray]:
  """Seconds of a step in each turn, `[turns]`, by way.

  Args:
    ways: what is timed; 'jgan' among them.
    turns: of each.
    steps: in a turn, rounded up to whole cycles.
    cycle: steps of a cycle.
    seconds: of a turn of jgan's, where `steps` is None.
  """
  for turn in ways.values():
    turn(cycle)
  if steps is None:
    start = time.perf_counter()
    ways['jgan'](cycle)
    took = time.perf_counter() - start
    steps = cycle * seconds / took
  steps = cycle * max(1, math.ceil(steps / cycle))
  took = in_turns(
    [lambda _, turn=turn: turn(steps) for turn in ways.values()], turns
  )
  return dict(zip(ways, took.T / steps, strict=True))


def programs(
  gan: jgan.GAN, state: jgan.TrainState, batch: jgan.Batch, key: jax.Array
) -> Callable[[Moves], jax.stages.Compiled]:
  """The compiled step by who moves, each made when it is first asked for."""

  def step(state, batch, key, moves):
    return jgan.train_step(gan, state, batch, key, moves=moves)

  jitted = jax.jit(step, static_argnames='moves', donate_argnames='state')

  @functools.cache
  def program(moves):
    return jitted.lower(state, batch, key, moves=moves).compile()

  return program


def jgan_turn(
  program: Callable[[Moves], jax.stages.Compiled],
  state: jgan.TrainState,
  batch: jgan.Batch,
  key: jax.Array,
  cycle: Sequence[Moves],
) -> Turn:
  """Plays on from a copy of a state, as the moves of the cycle say."""
  state = jax.tree.map(jax.numpy.copy, state)

  def turn(steps):
    nonlocal state
    for number in range(steps):
      moves = cycle[number % len(cycle)]
      state, _ = program(moves)(state, batch, key)
    jax.block_until_ready(state)

  return turn


def torch_turn(
  game: Game,
  modules: Modules,
  adam: Mapping[str, bool],
  real: torch.Tensor,
  cycle: Sequence[Moves],
) -> Turn:
  """Plays on with networks, which it moves, as the moves of the cycle say."""
  real = channels_first(real)
  optimizers = {
    name: torch.optim.Adam(module.parameters(), _RATE, (_B1, _B2), **adam)
    for name, module in modules.items()
  }

  def turn(steps):
    for number in range(steps):
      moves = cycle[number % len(cycle)]
      step(game, modules, optimizers, real, game.draw(), moves)

  return turn


def samplers(
  game: Game,
  gan: jgan.GAN,
  state: jgan.TrainState,
  batch: jgan.Batch,
  key: jax.Array,
) -> dict[str, Turn]:
  """The generator alone: samples without gradients."""
  asked = {'index': jax.numpy.arange(game.real[0])}
  program = jgan.sample.lower(gan, state, asked, key).compile()
  generator = parity.copied(game, state)['generator'].eval()

  def ours(steps):
    samples = [program(state, asked, key) for _ in range(steps)]
    jax.block_until_ready(samples)

  @torch.no_grad()
  def theirs(steps):
    for _ in range(steps):
      generator(game.draw())

  return {'jgan': ours, 'eager': theirs}


def faster_adam(modules: Modules) -> dict[str, bool]:
  """PyTorch's faster implementation of Adam for these params."""
  params = [p for module in modules.values() for p in module.parameters()]
  for param in params:
    param.grad = torch.full_like(param, 1e-3)

  def seconds(name):
    optimizer = torch.optim.Adam(params, _RATE, (_B1, _B2), **{name: True})
    took = []
    for _ in range(10):
      start = time.perf_counter()
      optimizer.step()
      took.append(time.perf_counter() - start)
    return min(took)

  return {min(('foreach', 'fused'), key=seconds): True}


def table(rows: Sequence[Row]) -> str:
  """A line to a game, in Markdown."""
  lines = [
    [
      'game', 'batch', 'parameters', 'jgan, ms', 'PyTorch eager, ms',
      'compiled, ms', 'PyTorch / jgan [95%]', 'GFLOP', 'jgan compiles, s',
      'Adam',
    ],
    *(
      [
        row.name, str(row.batch), f'{row.params:,}',
        *(_cell(row, way) for way in ('jgan', 'eager', 'compiled')),
        _told(row.ratio), f'{row.gflop:.3g}', f'{row.compilation:.1f}',
        row.adam,
      ]
      for row in rows
    ),
  ]  # fmt: skip
  remarks = [f'{row.name}: {row.remark}' for row in rows if row.remark]
  return '\n'.join([_markdown(lines), *remarks])


def table_of_parts(rows: Sequence[Row]) -> str:
  """Parts of the steps as programs of their own, in Markdown."""
  lines = [['game', 'part', 'jgan, ms', 'PyTorch eager, ms', 'ratio [95%]']]
  for row in rows:
    for name, (ours, theirs, found) in row.parts.items():
      cells = [f'{1e3 * x:.3g}' for x in (ours, theirs)]
      lines.append([row.name, name, *cells, _told(found)])
  return _markdown(lines)


def machine() -> str:
  """The processor and the versions."""
  cores = os.cpu_count()
  return (
    f'{_processor()}, {cores} cores; jax {jax.__version__}, torch '
    f'{torch.__version__}; python -m experiments.benchmark '
    f'{" ".join(sys.argv[1:])}'
  )


def _processor():
  told = Path('/proc/cpuinfo')
  if told.exists():
    for line in told.read_text().splitlines():
      if line.startswith('model name'):
        return line.split(':')[1].strip()
  return platform.processor() or platform.machine()


def _cell(row, way):
  if way not in row.seconds:
    return 'none'
  return f'{1e3 * row.seconds[way]:.3g}' + ' *' * (way == row.faster)


def _told(found):
  median, (low, high) = found
  return f'{median:.2f} [{low:.2f}, {high:.2f}]'


def _markdown(lines):
  head, *body = ('| ' + ' | '.join(line) + ' |' for line in lines)
  return '\n'.join([head, '|' + '---|' * len(lines[0]), *body])
