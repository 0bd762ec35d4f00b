"""Measures speed as a ratio: `python -m experiments.benchmark inception`.

A speed alone speaks of one machine on one day. So each benchmark takes turns
between a part of this package and the least that the same device must do for
it, all in one run, and tells the median ratio of the turns with an interval.
"""

import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from tqdm import tqdm

from experiments import (
  data,
  extractors,
  flops,
  pictures,
  scoring,
  train,
  weights,
)
from experiments.errors import UserError, building, reported
from experiments.extractors import Extractor
from jgan import metrics
from jgan.metrics.inception import InceptionV3, inception_variables

TURNS = 10  # at most


def inception(count: int) -> str:
  """Features of `count` pictures against the bare network; see `extraction`."""
  arrays = weights.torchscript_arrays(weights.contents(weights.INCEPTION))
  variables = jax.device_put(inception_variables(arrays))
  shape = scoring.CHUNK, 299, 299, 3
  ready = jax.random.uniform(jax.random.key(0), shape, minval=-1)
  network = jax.jit(InceptionV3().apply)
  return extraction(
    extractors.inception(),
    functools.partial(network, variables, ready),
    count,
  )


BENCHMARKS: Mapping[str, Callable[[int], str]] = {
  'inception': inception,
  'flops': lambda count: flops.table(),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Measures speed, as a ratio to what the device can do."""

  name: Annotated[
    tyro.conf.Positional[str], tyro.conf.arg(metavar='|'.join(BENCHMARKS))
  ] = 'inception'
  """the benchmark"""
  count: int = 10_000
  """pictures in all; a few hundred for a try"""


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
  train.cache_compiled_programs()
  with building():
    told = BENCHMARKS[name](arguments.count)
  print(f'{told}\n{jax.devices()[0].device_kind}, jax {jax.__version__}')


def extraction(
  extractor: Extractor, network: Callable[[], jax.Array], count: int
) -> str:
  """Features of pictures in files against the network on input that is ready.

  Args:
    extractor: what `scoring.extract` runs on colour PNGs of 32x32: they are
      read and decoded, brought to the device, resized, and their features come
      back.
    network: runs the bare network once, on a chunk of the same size that lies
      resized on the device, where its features stay.
    count: pictures for each; in whole chunks, so it may be fewer.

  Returns:
    Both speeds and their ratio, as text.

  Raises:
    UserError: fewer pictures than two chunks.
  """
  turns = min(TURNS, count // scoring.CHUNK)
  if turns < 2:
    raise UserError(f'--count={count}: at least {2 * scoring.CHUNK} are needed')
  chunks = count // turns // scoring.CHUNK
  size = chunks * scoring.CHUNK
  with tempfile.TemporaryDirectory() as folder:
    source = _noise(Path(folder), turns * size)

    def extract(turn, size=size):
      rows = turn * size + np.arange(size)
      of_turn = scoring.Pictures(f'turn {turn}', data.Rows(source, rows))
      scoring.extract(extractor, of_turn)

    extract(0, 1)  # compiles, as the bare network's first run does
    jax.block_until_ready(network())
    ways = extract, lambda turn: _run(network, chunks)
    seconds = in_turns(*ways, turns)
  head = f'{extractor.name}, {turns} turns of {size:,} PNGs of 32x32'
  names = 'extraction', 'bare network'
  return f'{head}, {scoring.CHUNK} at a time\n{table(names, size / seconds)}'


def _noise(folder: Path, count: int) -> data.Source:
  """Pictures of noise in a folder, as many as asked for."""
  rng = np.random.default_rng(0)
  for i in tqdm(range(count), desc='files', disable=None, leave=False):
    image = rng.integers(0, 256, (32, 32, 3), np.uint8)
    pictures.save_png(folder / f'{i:06}.png', image)
  return data.folder_source(folder, 32)


def _run(network, times):
  """Runs the network, the next on its way while one runs, as in extraction."""
  running = []
  for _ in range(times):
    running.append(network())
    if len(running) > 1:
      jax.block_until_ready(running.pop(0))
  jax.block_until_ready(running)


def in_turns(
  first: Callable[[int], None],
  second: Callable[[int], None],
  turns: int,
  clock: Callable[[], float] = time.perf_counter,
) -> np.ndarray:
  """Seconds that two functions of the turn take, `[turns, 2]`.

  Every other turn the second goes first, so that what becomes slower or faster
  with time favours neither.
  """
  seconds = np.zeros((turns, 2))
  for turn in tqdm(range(turns), desc='turns', disable=None, leave=False):
    for way in (0, 1) if turn % 2 == 0 else (1, 0):
      start = clock()
      (first, second)[way](turn)
      seconds[turn, way] = clock() - start
  return seconds


def table(names: Sequence[str], speeds: np.ndarray) -> str:
  """Median speeds of two ways `[turns, 2]`, and the first as a ratio."""
  ratios = speeds[:, 0] / speeds[:, 1]
  low, high = metrics.bootstrap(np.median, ratios, resamples=1000)
  lines = [
    f'{name:14} {speed:9,.4g} images/s'
    for name, speed in zip(names, np.median(speeds, 0), strict=True)
  ]
  ratio = f'{np.median(ratios):9.3f}   [{low:.3f}, {high:.3f}], 95%'
  return '\n'.join([*lines, f'{"ratio":14} {ratio}'])


if __name__ == '__main__':
  main()
