"""Model FLOP utilisation: `python -m experiments.benchmark utilisation`.

Products and convolutions that a step cannot do without, counted exactly (see
`experiments.benchmarks.flops`), over the time of the step, and that over the
device's peak. What is elementwise is not counted but takes its time, as do the
reading of memory and the dispatch.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import jgan
from experiments import runtime
from experiments.benchmarks import cost, fewest, flops
from experiments.errors import UserError

ON_A_CPU: Mapping[str, Mapping[str, Any]] = {
  'cifar10-wgan-gp': {'batch_size': 16},
  'cifar10-sngan': {'width': 64, 'batch_size': 16},
  'cifar10-sagan': {'batch_size': 16},
  'cifar10-biggan': {'batch_size': 16},
  'cifar10-stylegan2': {'width': 64, 'batch_size': 16},
  'cifar10-r3gan': {'width': 64, 'batch_size': 16},
}
"""Numbers of experiments of `fewest.SHAPES` with which a CPU can play them; on
an accelerator they have the usual ones, but for `fewest.SMALLER`."""

_LEAST = 10  # steps on an accelerator from one wait for it to the next


class Peak(NamedTuple):
  """What the maker of a device publishes of its dense products, in FLOP/s.

  Attributes:
    bfloat16: on V100 and T4, which have none, that of float16.
    float32: by what XLA computes it with where no precision is asked for: TF32
      on the GPUs that have it, one pass of bfloat16 on TPUs.
  """

  bfloat16: float
  float32: float


# With sparsity a sheet says twice as much.
# https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet
_H100_SXM, _H100_PCIE = Peak(989.5e12, 494.5e12), Peak(756.5e12, 378e12)
# https://www.nvidia.com/en-us/data-center/h200/
_H200 = Peak(989.5e12, 494.5e12)
# https://www.nvidia.com/en-us/data-center/a100/
_A100 = Peak(312e12, 156e12)
# https://www.nvidia.com/en-us/data-center/l4/
_L4 = Peak(121e12, 60e12)
# https://www.nvidia.com/en-us/data-center/tesla-t4/
_T4 = Peak(65e12, 8.1e12)
# https://images.nvidia.com/content/technologies/volta/pdf/volta-v100-datasheet-update-us-1165301-r5.pdf
_V100_SXM, _V100_PCIE = Peak(125e12, 15.7e12), Peak(112e12, 14e12)
# https://docs.cloud.google.com/tpu/docs/v4, and likewise v5e, v5p and v6e
_V4, _V5E = Peak(275e12, 275e12), Peak(197e12, 197e12)
_V5P, _V6E = Peak(459e12, 459e12), Peak(918e12, 918e12)

PEAKS: Mapping[str, Peak] = {
  'NVIDIA H100 80GB HBM3': _H100_SXM,
  'NVIDIA H100 PCIe': _H100_PCIE,
  'NVIDIA H200': _H200,
  'NVIDIA A100-SXM4-40GB': _A100,
  'NVIDIA A100-SXM4-80GB': _A100,
  'NVIDIA A100-PCIE-40GB': _A100,
  'NVIDIA A100 80GB PCIe': _A100,
  'NVIDIA L4': _L4,
  'Tesla T4': _T4,
  'Tesla V100-SXM2-16GB': _V100_SXM,
  'Tesla V100-SXM2-32GB': _V100_SXM,
  'Tesla V100-PCIE-16GB': _V100_PCIE,
  'Tesla V100-PCIE-32GB': _V100_PCIE,
  'TPU v4': _V4,
  'TPU v5 lite': _V5E,
  'TPU v5e': _V5E,
  'TPU v5': _V5P,
  'TPU v5p': _V5P,
  'TPU v6 lite': _V6E,
  'TPU v6e': _V6E,
}
"""By `jax.Device.device_kind`."""


def utilisation(
  names: Sequence[str] = (), turns: int = 8, steps: int | None = None
) -> str:
  """A line for each step, on an accelerator in bfloat16 as well.

  Args:
    names: of `fewest.SHAPES`; all where there is none.
    turns: of which the median counts.
    steps: in a turn, rounded up to whole cycles of moves; None for one cycle,
      on an accelerator for 10 steps at least.

  Raises:
    UserError: there is no such step, or too few turns or steps.
  """
  fewest.check(names)
  for flag, value in (('turns', turns), ('steps', steps)):
    if value is not None and value < 1:
      raise UserError(f'--{flag}={value}: at least 1 is needed')
  cpu = jax.default_backend() == 'cpu'
  least = steps or (1 if cpu else _LEAST)
  lines = [f'{"":21} {"dtype":>9} {"GFLOP":>8} {"ms":>8} {"TFLOP/s":>8}   peak']
  peaks = []
  kind = jax.devices()[0].device_kind
  for dtype in ('float32',) if cpu else ('float32', 'bfloat16'):
    peak, source = peak_of(kind, dtype)
    peaks.append(f'peak in {dtype}: {peak / 1e12:.4g} TFLOP/s, {source}')
    for name in tqdm(
      names or fewest.SHAPES, desc='steps', disable=None, leave=False
    ):
      numbers = (ON_A_CPU if cpu else fewest.SMALLER).get(name, {})
      numbers = {**numbers, 'bfloat16': dtype == 'bfloat16'}
      flop, seconds = mean_step(*fewest.game(name, numbers), least, turns)
      lines.append(row(name, dtype, flop, seconds, peak))
  return '\n'.join([*lines, *peaks, f'{kind}, jax {jax.__version__}'])


def row(name: str, dtype: str, flop: float, seconds: float, peak: float) -> str:
  """A line of the table, of the FLOPs and seconds of a step."""
  speed = flop / seconds
  return (
    f'{name:21} {dtype:>9} {flop / 1e9:8.2f} {1e3 * seconds:8.2f} '
    f'{speed / 1e12:8.3f} {speed / peak:6.1%}'
  )


def peak_of(kind: str, dtype: str) -> tuple[float, str]:
  """The most FLOP/s of a kind of device by dtype, and where that is from.

  Published if it is in `PEAKS`; else that of the best of ten large products,
  measured on the first device.
  """
  if kind in PEAKS:
    return getattr(PEAKS[kind], dtype), 'as published'
  n = 2048 if jax.default_backend() == 'cpu' else 8192
  square = jnp.ones((n, n), dtype)
  seconds = cost.best(jax.jit(jnp.matmul), (square, square), 10)
  source = f'measured: the best of ten products of {n} x {n}'
  if jax.default_backend() == 'cpu':
    return 2 * n**3 / seconds, source
  return 2 * n**3 / seconds, f'{source}, as {kind} is not among those known'


def mean_step(
  gan: jgan.GAN, form: jgan.Batch, least: int, turns: int
) -> tuple[float, float]:
  """FLOPs and seconds of a mean step.

  Args:
    gan: played from its first state, on zeros.
    form: shapes and dtypes of a batch.
    least: steps in a turn, in which nothing waits for the device; rounded up to
      whole cycles of moves.
    turns: of which the median counts.
  """
  key = jax.random.key(0)
  batch = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), form)
  batch['index'] = jnp.arange(len(batch['index']))
  state = jax.jit(functools.partial(jgan.init, gan))(key, batch)
  often = fewest.patterns(gan)
  count = math.ceil(least / often.total()) * often.total()
  programs = {moves: _program(gan, state, batch, key, moves) for moves in often}

  def play(state):
    for step in range(count):
      state, _ = programs[jgan.moves(gan, step)](state, batch, key)
    return state

  seconds = cost.best(play, (state,), turns, np.median)
  flop = sum(
    times * needed(gan, state, batch, key, moves)
    for moves, times in often.items()
  )
  return flop / often.total(), seconds / count


def _program(gan, state, batch, key, moves):
  step = jax.jit(jgan.train_step, static_argnames=('gan', 'moves'))
  return step.lower(gan, state, batch, key, moves=moves).compile(
    runtime.compiler_options()
  )


def needed(
  gan: jgan.GAN,
  state: jgan.TrainState,
  batch: jgan.Batch,
  key: jax.Array,
  moves: tuple[str, ...],
) -> int:
  """FLOPs of products and convolutions of a step in which these move."""
  step = functools.partial(jgan.train_step, gan, moves=moves)
  return flops.traced(step, state, batch, key)
