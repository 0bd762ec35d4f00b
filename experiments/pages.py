"""Parts of the pages in Markdown that commands write."""

import os
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """Lines of cells under heads; to the right but in the first column."""
  marks = ['---', *['--:'] * (len(heads) - 1)]
  return '\n'.join(f'| {" | ".join(x)} |' for x in (heads, marks, *rows))


def items(texts: Iterable[str]) -> str:
  """A list, its lines filled."""
  return '\n'.join(
    textwrap.fill(
      text,
      80,
      initial_indent='- ',
      subsequent_indent='  ',
      break_on_hyphens=False,
    )
    for text in texts
  )


def mean_and_deviation(values: Sequence[float], places: int) -> str:
  """To so many decimals; the deviation is a sample's (n - 1), of 2 or more."""
  mean = f'{np.mean(values):.{places}f}'
  if len(values) == 1:
    return mean
  return f'{mean} ± {np.std(values, ddof=1):.{places}f}'


class Clocks(NamedTuple):
  """Both clocks in seconds, as of a beginning."""

  wall: float
  cpu: float


def clocks() -> Clocks:
  """What they show now."""
  return Clocks(time.perf_counter(), time.process_time())


def spent(since: Clocks) -> str:
  """The time since then, and the machine: '2 minutes on 1 core of cpu, ...'."""
  cores = os.cpu_count()
  if hasattr(os, 'sched_getaffinity'):  # those that this process may use
    cores = len(os.sched_getaffinity(0))
  now = clocks()
  wall, cpu = (now.wall - since.wall) / 60, (now.cpu - since.cpu) / 60
  return (
    f'{wall:.0f} minutes on {cores} core{"s" * (cores > 1)} of '
    f'{jax.devices()[0].device_kind}, {cpu:.0f} of CPU time; jax '
    f'{jax.__version__}.'
  )
