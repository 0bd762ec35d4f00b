"""jgan's training step against PyTorch's, game by game, in turns.

A game is timed only where both frameworks compute the same, see `parity`.
jgan's step runs as the training loop runs it: compiled for each pattern of
moves, the state donated. PyTorch's runs as written, and with its networks
compiled by `torch.compile`; the faster of the two counts. Both draw their own
latents, and step by Adam.
"""

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
import torch
from tqdm import tqdm

import jgan
from experiments import pages
from experiments.benchmarks.pytorch import (
  dcgan,
  device,
  gru,
  mlp,
  parity,
  sngan,
  stylegan2,
  timing,
  wgan_gp,
)
from experiments.benchmarks.pytorch.game import Game
from experiments.benchmarks.turns import ratio
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

_COMPILED = (
  'Compiled are the networks, but for the second derivatives of penalties, '
  'which torch.compile does not take; on a GPU each step is a CUDA graph '
  'besides. The ratio is of the way with the *.'
)
_TURN, _PART = 0.5, 0.2  # seconds of jgan's in a turn
_PART_TURNS = 5


class Row(NamedTuple):
  """What is told of a game.

  Attributes:
    name: of the game.
    about: its networks.
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
  about: str
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
  names: Sequence[str], turns: int = 8, steps: int | None = None
) -> str:
  """The tables of some games, or of all where none is named.

  Args:
    names: of `GAMES`.
    turns: of each way.
    steps: in a turn, rounded up to whole cycles of moves; None for as many as
      jgan plays in half a second.

  Raises:
    UserError: there is no game of a name, or too few turns or steps.
  """
  names = chosen(names)
  if turns < 2:
    raise UserError(f'--turns={turns}: an interval needs at least 2')
  if steps is not None and steps < 1:
    raise UserError(f'--steps={steps}: at least 1 is needed')
  there = device.chosen()
  rows, refused = [], []
  for name in tqdm(names, desc='games', disable=None):
    game, small = (make() for make in GAMES[name])
    if reason := parity.refusal(game, small, there):
      refused.append(f'{name}: not compared, since {reason}')
      continue
    rows.append(row(name, game, turns, steps, there))
    tqdm.write(f'{name}: {_told(rows[-1].ratio)}', file=sys.stderr)
  parts = [rows and table(rows), rows and table_of_parts(rows), *refused]
  return '\n\n'.join([*filter(None, parts), machine()])


def chosen(names: Sequence[str]) -> Sequence[str]:
  """The names as they are, or those of all games where there are none.

  Raises:
    UserError: there is no game of a name.
  """
  if unknown := set(names) - set(GAMES):
    raise UserError(
      f'--only: there are no games {", ".join(sorted(unknown))}; the games are '
      f'{", ".join(GAMES)}'
    )
  return names or list(GAMES)


def cycle_of(gan: jgan.GAN) -> list[tuple[str, ...]]:
  """Who moves in successive steps, until it repeats itself."""
  count = math.lcm(*(player.every for player in gan.players))
  return [jgan.moves(gan, number) for number in range(count)]


def row(
  name: str,
  game: Game,
  turns: int,
  steps: int | None,
  there: torch.device = device.CPU,
) -> Row:
  """Times a game; see `Row`, and `compare` for the arguments."""
  start = timing.start(game)
  gan, state, batch, key, real = start

  def copied():
    return parity.copied(game, state, there)

  option = timing.faster_adam(copied())
  program = timing.programs(gan, state, batch, key)
  cycle = cycle_of(gan)
  began = time.perf_counter()
  flops = [program(moves).cost_analysis()['flops'] for moves in cycle]
  compilation = time.perf_counter() - began

  def eager(cycle):
    return timing.torch_turn(game, copied(), option, real, cycle)

  ours, count = timing.dispatched_turn(start, program, cycle)
  ways, remark = {'jgan': ours, 'eager': eager(cycle)}, ''
  try:
    ways['compiled'] = timing.compiled(game, copied(), option, real, cycle)
  except RuntimeError as error:
    remark = f'not compiled: {str(error).strip().splitlines()[0]}'
  per_step = timing.timed(ways, turns, steps, count, _TURN)
  faster = min(ways.keys() - {'jgan'}, key=lambda way: np.median(per_step[way]))
  parts = {'samples': timing.samples(game, gan, state, batch, key, there)}
  for player in gan.players:
    alone = [(player.label,)]
    parts[player.label] = {
      'jgan': timing.jgan_turn(program, state, batch, key, alone),
      'eager': eager(alone),
    }
  return Row(
    name=name,
    about=game.about,
    batch=game.real[0],
    params=_size(state),
    seconds={way: float(np.median(x)) for way, x in per_step.items()},
    faster=faster,
    ratio=ratio(per_step[faster], per_step['jgan']),
    gflop=float(np.mean(flops)) / 1e9,
    compilation=compilation,
    adam=next(iter(option)),
    parts={name: _part(pair, steps) for name, pair in parts.items()},
    remark=remark,
  )


def _size(state):
  """How many params all players have."""
  params = [variables['params'] for variables in state.variables.values()]
  return sum(leaf.size for leaf in jax.tree.leaves(params))


def _part(pair, steps):
  """Times a part of the step; see `Row`."""
  per_step = timing.timed(pair, _PART_TURNS, steps, 1, _PART)
  ours, theirs = per_step['jgan'], per_step['eager']
  return float(np.median(ours)), float(np.median(theirs)), ratio(theirs, ours)


def table(rows: Sequence[Row]) -> str:
  """A line to a game, in Markdown."""
  heads = [
    'game', 'networks', 'batch', 'parameters', 'jgan, ms',
    'PyTorch eager, ms', 'compiled, ms', 'PyTorch / jgan [95%]', 'GFLOP',
    'jgan compiles, s', 'Adam',
  ]  # fmt: skip
  lines = [
    [
      row.name, row.about, str(row.batch), f'{row.params:,}',
      *(_cell(row, way) for way in ('jgan', 'eager', 'compiled')),
      _told(row.ratio), f'{row.gflop:.3g}', f'{row.compilation:.1f}',
      row.adam,
    ]
    for row in rows
  ]  # fmt: skip
  remarks = [f'{row.name}: {row.remark}' for row in rows if row.remark]
  if any('compiled' in row.seconds for row in rows):
    remarks.insert(0, _COMPILED)
  return '\n'.join([pages.table(heads, lines), *remarks])


def table_of_parts(rows: Sequence[Row]) -> str:
  """Parts of the steps as programs of their own, in Markdown.

  Samples, and each move as if only this player moved.
  """
  heads = ['game', 'part', 'jgan, ms', 'PyTorch eager, ms', 'ratio [95%]']
  lines = []
  for row in rows:
    for name, (ours, theirs, found) in row.parts.items():
      cells = [f'{1e3 * x:.3g}' for x in (ours, theirs)]
      lines.append([row.name, name, *cells, _told(found)])
  return pages.table(heads, lines)


def machine() -> str:
  """The processor, a GPU that was used, and the versions."""
  gpu = ''
  if jax.default_backend() != 'cpu':
    gpu = f', {jax.devices()[0].device_kind}'
  return (
    f'{_processor()}, {os.cpu_count()} cores{gpu}; jax {jax.__version__}, '
    f'torch {torch.__version__}'
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
