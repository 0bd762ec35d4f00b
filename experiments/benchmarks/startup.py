"""What a start takes: `python -m experiments.benchmark startup`.

From the command to the end of the first step, and how much of it is
compilation: cold, with an empty cache of compiled programs, and warm, at the
second start. Each is a process of its own that trains for one step; the time
ends when the loop has written that step's metrics. The file system may have
read Python's files before; one start each, so that small differences mean
nothing.
"""

import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
from tqdm import tqdm

from experiments import train
from experiments.errors import UserError
from experiments.files import write_json

NAMES = (
  'digits',
  'mnist-mlp',
  'cifar10-dcgan',
  'cifar10-sngan',
  'cifar10-stylegan2',
)
"""Experiments, where none is named."""

_COMPILED = '/jax/core/compile/backend_compile_duration'
_LINES = 5  # of what a failed process said


class Start(NamedTuple):
  """What one start took.

  Attributes:
    seconds: from the command to the end of the first step.
    compiling: seconds of these in XLA, or in reading what it had compiled.
    memory: most bytes resident at once, of the whole process.
    device_memory: most bytes in use at once on a device; None where it does not
      tell.
    device: its kind.
  """

  seconds: float
  compiling: float
  memory: int
  device_memory: int | None
  device: str


def startup(names: Sequence[str] = (), data_dir: str = '') -> str:
  """A line for each experiment, cold and warm.

  Args:
    names: of experiments; `NAMES` where there is none.
    data_dir: for those whose data lie in one; empty: its default.

  Raises:
    UserError: there is no such experiment, or a start failed, with what it
      said.
  """
  if unknown := [name for name in names if name not in train.EXPERIMENTS]:
    raise UserError(
      f'--only: there are no experiments {", ".join(unknown)}; the experiments '
      f'are {", ".join(train.EXPERIMENTS)}'
    )
  lines = [
    f'{"":21}   cold, s  compiling   warm, s  compiling   MB, most  on device',
  ]
  for name in tqdm(names or NAMES, desc='starts', disable=None, leave=False):
    cold, warm = cold_and_warm(name, data_dir)
    lines.append(row(name, cold, warm))
  return '\n'.join([*lines, f'{warm.device}, jax {jax.__version__}'])


def row(name: str, cold: Start, warm: Start) -> str:
  """A line of the table; memory is that of the cold start."""
  on_device = '-'
  if cold.device_memory is not None:
    on_device = f'{cold.device_memory / 1e6:,.0f}'
  return (
    f'{name:21} {cold.seconds:9.1f} {cold.compiling:10.1f} '
    f'{warm.seconds:9.1f} {warm.compiling:10.1f} '
    f'{cold.memory / 1e6:10,.0f} {on_device:>10}'
  )


def cold_and_warm(name: str, data_dir: str) -> tuple[Start, Start]:
  """Starts an experiment with an empty cache, and once more with that cache."""
  flags = [name, '--steps=1', '--log-every=1']
  fields = dataclasses.fields(train.EXPERIMENTS[name].Config)
  if data_dir and 'data_dir' in {field.name for field in fields}:
    flags.append(f'--data-dir={Path(data_dir).expanduser().absolute()}')
  with tempfile.TemporaryDirectory() as folder:
    cold, warm = (
      started(Path(folder, start), Path(folder, 'cache'), flags)
      for start in ('cold', 'warm')
    )
  return cold, warm


def started(folder: Path, cache: Path, flags: Sequence[str]) -> Start:
  """Trains in a process of its own, and tells what its start took.

  Args:
    folder: where its files go, not there yet.
    cache: stands in for the user's cache folder.
    flags: the words after the command, but for --workdir.

  Raises:
    UserError: it failed, with the last lines of what it said.
  """
  folder.mkdir()
  report, workdir = folder / 'report.json', folder / 'run'
  environment = {**os.environ, 'XDG_CACHE_HOME': str(cache)}
  environment.pop('JAX_COMPILATION_CACHE_DIR', None)
  command = [sys.executable, '-m', __name__, str(report), *flags]
  start = time.time()
  process = subprocess.run(
    [*command, f'--workdir={workdir}'],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  if process.returncode:
    said = '\n'.join(process.stdout.strip().splitlines()[-_LINES:])
    raise UserError(
      f'startup: {flags[0]} did not start: {said}\nFor data that lie '
      'elsewhere give --data-dir=DIR; for other experiments --only NAME'
    )
  # Where the last line of metrics, that of the first step, is written.
  end = (workdir / 'metrics.jsonl').stat().st_mtime
  return told(json.loads(report.read_text()), start, end)


def told(report: dict, start: float, end: float) -> Start:
  """A start from the report of its process, and the time of both ends."""
  compiled = report.pop('compiled')
  seconds = sum(took for at, took in compiled if at <= end)
  return Start(end - start, seconds, **report)


def run(report: Path, argv: Sequence[str]) -> None:
  """Trains in this process, and writes what the memory held and was compiled.

  Args:
    report: a JSON file: `compiled`, pairs of when a program was ready, in
      seconds since 1970, and the seconds it took; and `memory`,
      `device_memory`, `device` as in `Start`.
    argv: the words of the training's command line.
  """
  compiled = []

  def listen(event, seconds, **_):
    if event == _COMPILED:
      compiled.append((time.time(), seconds))

  jax.monitoring.register_event_duration_secs_listener(listen)
  train.main(argv)
  unit = 1 if sys.platform == 'darwin' else 1024
  most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  on_devices = [(x.memory_stats() or {}) for x in jax.local_devices()]
  peaks = [x['peak_bytes_in_use'] for x in on_devices if x]
  write_json(
    report,
    {
      'compiled': compiled,
      'memory': unit * most,
      'device_memory': max(peaks, default=None),
      'device': jax.devices()[0].device_kind,
    },
  )


if __name__ == '__main__':
  run(Path(sys.argv[1]), sys.argv[2:])
