"""What steps spend their time on, in jgan and in PyTorch, on one core.

On one, since then each operation ends before the next begins, so that its time
is its own: on several, XLA's convolutions run beside what follows them.
"""

import collections
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import torch
from tqdm import tqdm

from experiments import pages
from experiments.benchmarks.pytorch import comparison, parity, timing
from experiments.benchmarks.pytorch.game import Game
from experiments.errors import UserError

KINDS = ('convolutions', 'products', 'optimizers', 'copies', 'the rest')
"""The kinds of work, of which each operation has one."""

_ONE_THREAD = '--xla_cpu_multi_thread_eigen=false'
_STEPS, _FIRST = 20, 3  # of a profile, and before it

# What PyTorch's operations are called, by kind; the rest is the rest.
_TORCH = {
  'convolutions': 'conv',
  'optimizers': r'adam|^Optimizer',
  'products': r'^aten::(addmm|mm|bmm|baddbmm|linear)$|mkldnn_linear',
  'copies': r'^aten::(copy_|cat|stack|fill_|zero_|clone|constant_pad_nd)$',
}
_CONTAINERS = ('while', 'call', 'conditional')  # of operations that have times
_COPIES = {
  'broadcast',
  'concatenate',
  'copy',
  'pad',
  'reverse',
  'slice',
  'transpose',
}


def profile(names: Sequence[str]) -> str:
  """A table of milliseconds by game, kind of work and framework.

  Limits this process to one core and one thread.

  Args:
    names: of `comparison.GAMES`, or none for all.

  Raises:
    UserError: there is no game of a name, the system is not Linux, or jax
      computes elsewhere than on the CPU.
  """
  games = comparison.chosen(names)
  if not hasattr(os, 'sched_setaffinity'):
    raise UserError(
      'the benchmark profile runs on one core, which only Linux lets it choose'
    )
  os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
  flags = os.environ.get('XLA_FLAGS', '')
  os.environ['XLA_FLAGS'] = f'{flags} {_ONE_THREAD}'
  torch.set_num_threads(1)
  if jax.default_backend() != 'cpu':
    raise UserError(
      'the benchmark profile is of the CPU, but jax found '
      f'{jax.devices()[0].device_kind}. Run: JAX_PLATFORMS=cpu python -m '
      'experiments.benchmark profile'
    )
  heads = ['game', 'on', 'jgan, ms', 'PyTorch, ms', 'difference, ms']
  rows = []
  for name in tqdm(games, desc='games', disable=None):
    rows += _rows(name, *_of_game(comparison.GAMES[name][0]()))
  told = f'one core of {comparison.machine()}; PyTorch eager'
  return f'{pages.table(heads, rows)}\n\n{told}'


def _rows(name, ours, theirs):
  both = [(kind, ours[kind], theirs[kind]) for kind in KINDS]
  both.append(('all', sum(ours.values()), sum(theirs.values())))
  return [
    [name, on, *(f'{1e3 * x:.3g}' for x in (mine, other, mine - other))]
    for on, mine, other in both
    if mine or other
  ]


def _of_game(game: Game):
  """Seconds of a step by kind, of jgan and of PyTorch."""
  gan, state, batch, key, real = timing.start(game)
  program = timing.programs(gan, state, batch, key)
  option = timing.faster_adam(parity.copied(game, state))
  cycle = comparison.cycle_of(gan)
  ours, theirs = collections.Counter(), collections.Counter()
  for moves, times in collections.Counter(cycle).items():
    share = times / len(cycle)
    kinds = kinds_of_operations(program(moves).as_text())
    turn = timing.jgan_turn(program, state, batch, key, [moves])
    for kind, seconds in of_jgan(turn, kinds).items():
      ours[kind] += share * seconds
    modules = parity.copied(game, state)
    turn = timing.torch_turn(game, modules, option, real, [moves])
    for kind, seconds in of_pytorch(turn).items():
      theirs[kind] += share * seconds
  return ours, theirs


def kinds_of_operations(program: str) -> dict[str, str]:
  """The kind of each operation of a compiled program, by name.

  A fusion is of the kind of what it has of the first of `KINDS`. Operations
  that only contain others, such as loops, are left out.

  Args:
    program: as `jax.stages.Compiled.as_text` writes it.
  """
  bodies, kinds = {}, {}
  for line in program.splitlines():
    if head := re.match(r'(?:ENTRY )?%?([\w.\-]+) .*\{$', line):
      body = bodies[head[1]] = []
    elif found := re.match(
      r'\s+(?:ROOT )?%?([\w.\-]+) = \S+ ([\w\-]+)\(', line
    ):
      body.append((found[1], found[2], line))
  for body in bodies.values():
    for name, opcode, line in body:
      if opcode not in _CONTAINERS:
        inside = re.search(r'fusion\(.*calls=%?([\w.\-]+)', line)
        parts = bodies[inside[1]] if inside else ()
        kinds[name] = _kind({opcode} | {part[1] for part in parts}, line)
  return kinds


def _kind(opcodes, line):
  if 'convolution' in opcodes:
    return 'convolutions'
  if 'dot' in opcodes:
    return 'products'
  if '/optimizer/' in line:
    return 'optimizers'
  computed = opcodes - _COPIES - {'fusion', 'bitcast', 'parameter', 'constant'}
  return 'the rest' if computed else 'copies'


def of_jgan(turn: timing.Turn, kinds: Mapping[str, str]) -> dict[str, float]:
  """Seconds of a step by kind, from the profile that jax writes."""
  turn(_FIRST)
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      turn(_STEPS)
    (path,) = Path(folder).rglob('*.xplane.pb')
    told = jax.profiler.ProfileData.from_file(str(path))
  seconds = collections.Counter()
  for event in (
    event
    for plane in told.planes
    for line in plane.lines
    for event in line.events
  ):
    name = dict(event.stats).get('hlo_op')
    if name in kinds:
      seconds[kinds[name]] += event.duration_ns / 1e9 / _STEPS
  return seconds


def of_pytorch(turn: timing.Turn) -> dict[str, float]:
  """Seconds of a step by kind, from PyTorch's own profiler."""
  turn(_FIRST)
  activities = [torch.profiler.ProfilerActivity.CPU]
  with torch.profiler.profile(activities=activities) as told:
    turn(_STEPS)
  seconds = collections.Counter()
  for event in told.key_averages():
    named = (
      kind for kind, name in _TORCH.items() if re.search(name, event.key)
    )
    seconds[next(named, 'the rest')] += event.self_cpu_time_total / 1e6 / _STEPS
  return seconds
