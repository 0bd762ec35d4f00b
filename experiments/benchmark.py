"""Measures speed as a ratio: `python -m experiments.benchmark`.

A speed alone speaks of one machine on one day. So each benchmark takes turns
between a part of this package and what it is measured by, all in one run, and
tells the median ratio of the turns with an interval: `torch`, the training
step, by the same games in PyTorch (`profile` tells what both spend their time
on); `scaling`, a step on several devices, by the same on one; `inception`,
features of pictures, by the least that the same device must do for it. `flops`
counts those of a compiled step, by the fewest that it needs; `memory` tells
what `--rematerialize` saves; `cost`, what steps of several sizes take, by what
the device can do at most; `startup`, the time from the command to the end of
the first step; `utilisation`, the arithmetic of steps over the device's peak;
`ahead`, what is read off steps compiled for GPUs and TPUs that are not here.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import jax
import tyro

from experiments import runtime
from experiments.benchmarks import (
  ahead,
  cost,
  fewest,
  memory,
  scaling,
  startup,
  utilisation,
)
from experiments.benchmarks.inception import inception
from experiments.errors import UserError, building, reported


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Measures speed, as a ratio."""

  name: Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(
      metavar='torch|profile|flops|memory|scaling|cost|startup|utilisation|'
      'ahead|inception'
    ),
  ] = 'torch'
  """the benchmark"""
  count: int = 10_000
  """inception: pictures in all; a few hundred for a try"""
  only: tuple[str, ...] = ()
  """torch, profile, startup, utilisation, ahead: names"""
  data_dir: str = ''
  """startup: of tfds; empty: its default"""
  turns: int = 8
  """turns of each way; not of inception, profile, startup, ahead"""
  steps: int | None = None
  """in a turn of torch, scaling, utilisation; each has its default"""
  chip: str = 'h100'
  """ahead: h100, a100, v5e, v5p or v6e"""
  bfloat16: bool = False
  """ahead: compute in bfloat16"""


def _inception(arguments: Arguments) -> str:
  runtime.cache_compiled_programs()
  kind = jax.devices()[0].device_kind
  told = inception(arguments.count)
  return f'{told}\n{kind}, jax {jax.__version__}'


def _torch(arguments: Arguments) -> str:
  with _with_pytorch('torch'):
    from experiments.benchmarks.pytorch import comparison
  return comparison.compare(arguments.only, arguments.turns, arguments.steps)


def _profile(arguments: Arguments) -> str:
  with _with_pytorch('profile'):
    from experiments.benchmarks.pytorch import profile
  return profile.profile(arguments.only)


@contextlib.contextmanager
def _with_pytorch(name):
  try:
    yield
  except ImportError as error:
    raise UserError(
      f'the benchmark {name} compares with PyTorch, which is not installed. '
      'Run: pip install "jgan[benchmark]"'
    ) from error


def _scaling(arguments: Arguments) -> str:
  jax.config.update('jax_num_cpu_devices', scaling.FAKE)
  return scaling.scaling(arguments.turns, arguments.steps or 3)


def _ahead(arguments: Arguments) -> str:
  # Whatever the compiler is for, nothing is run on it.
  jax.config.update('jax_platforms', 'cpu')
  return ahead.ahead(arguments.only, arguments.chip, arguments.bfloat16)


BENCHMARKS: Mapping[str, Callable[[Arguments], str]] = {
  'torch': _torch,
  'profile': _profile,
  'flops': lambda arguments: fewest.table(),
  'memory': lambda arguments: memory.memory(),
  'scaling': _scaling,
  'cost': lambda arguments: cost.cost(arguments.turns),
  'startup': lambda arguments: startup.startup(
    arguments.only, arguments.data_dir
  ),
  'utilisation': lambda arguments: utilisation.utilisation(
    arguments.only, arguments.turns, arguments.steps
  ),
  'ahead': _ahead,
  'inception': _inception,
}


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  arguments = tyro.cli(
    Arguments, args=argv, prog='python -m experiments.benchmark'
  )
  if (name := arguments.name) not in BENCHMARKS:
    raise UserError(
      f'there is no benchmark {name}, but {", ".join(BENCHMARKS)}'
    )
  runtime.tune()
  with building():
    print(BENCHMARKS[name](arguments))


if __name__ == '__main__':
  main()
