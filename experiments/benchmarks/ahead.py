"""Steps compiled for chips that are not here: `... benchmark ahead`.

XLA compiles for a GPU or a TPU without one, by its compiler (of `jgan[cuda]` or
`jgan[tpu]`) and a description of the chip. Nothing is run: the figures are read
off the program, of a step in which every player moves. Its products and
convolutions are counted as `experiments.benchmarks.flops` does; its memory is
that beside the batch and the state.
"""

import functools
import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies
from jaxtyping import PyTree
from tqdm import tqdm

import jgan
from experiments import dispatch
from experiments.benchmarks import fewest, flops
from experiments.errors import UserError

DIVIDED = 4
"""Chips over which a batch is divided."""


class Chip(NamedTuple):
  """What XLA compiles for.

  Attributes:
    extra: of jgan, with the compiler.
    compilers: modules, of which one is needed.
    described: what tells `topologies.get_topology_desc` of `DIVIDED` of them.
    options: of the compiler.
  """

  extra: str
  compilers: tuple[str, ...]
  described: Mapping[str, str]
  options: Mapping[str, Any]


class Program(NamedTuple):
  """What is read off a compiled step.

  Attributes:
    flop: of its products and convolutions, on one chip.
    memory: bytes beside the batch and the state, on one chip.
    sums: all-reduces.
    seconds: that compiling took.
  """

  flop: int
  memory: int
  sums: int
  seconds: float


def _tpu(topology: str) -> Chip:
  described = {'platform': 'tpu', 'topology_name': topology}
  return Chip('tpu', ('libtpu',), described, {})


def _gpu(
  name: str,
  capability: int,
  cores: int,
  units: int,
  clock: float,
  memory: int,
  bandwidth: float,
  cache: int,
  shared: int,
) -> Chip:
  """A GPU of NVIDIA.

  Args:
    name: as `jax.Device.device_kind`.
    capability: its first number.
    cores: multiprocessors.
    units: of float32 arithmetic in each.
    clock: GHz.
    memory: bytes.
    bandwidth: of it, bytes/s.
    cache: L2, bytes.
    shared: KiB of memory that the threads of a multiprocessor share.
  """
  described = f"""
    gpu_device_info {{
      threads_per_block_limit: 1024
      threads_per_warp: 32
      threads_per_core_limit: 2048
      shared_memory_per_block: 49152
      shared_memory_per_block_optin: {(shared - 1) * 1024}
      shared_memory_per_core: {shared * 1024}
      registers_per_core_limit: 65536
      registers_per_block_limit: 65536
      block_dim_limit_x: 2147483647
      block_dim_limit_y: 65535
      block_dim_limit_z: 65535
      core_count: {cores}
      fpus_per_core: {units}
      clock_rate_ghz: {clock}
      memory_bandwidth: {bandwidth:.0f}
      device_memory_size: {memory}
      l2_cache_size: {cache}
      cuda_compute_capability {{ major: {capability} }}
    }}
    platform_name: "CUDA"
    dnn_version_info {{ major: 9 minor: 8 }}
    runtime_version {{ major: 12 minor: 8 }}
    device_description_str: "{name}"
  """
  # To try what is the fastest takes a chip.
  return Chip(
    'cuda',
    ('jax_cuda12_plugin', 'jax_cuda13_plugin'),
    {
      'platform': 'cuda',
      'target_config': described,
      'topology': f'1x1x{DIVIDED}',
    },
    {'xla_gpu_autotune_level': 0},
  )


# The numbers of the GPUs are those of XLA's own descriptions.
# https://github.com/openxla/xla/tree/main/xla/backends/gpu/target_config/specs
CHIPS: Mapping[str, Chip] = {
  'h100': _gpu(
    'NVIDIA H100 80GB HBM3',
    capability=9,
    cores=132,
    units=128,
    clock=1.98,
    memory=84_942_979_072,
    bandwidth=3.35232e12,
    cache=52_428_800,
    shared=228,
  ),
  'a100': _gpu(
    'NVIDIA A100-SXM4-80GB',
    capability=8,
    cores=108,
    units=64,
    clock=1.41,
    memory=85_100_068_864,
    bandwidth=2.03904e12,
    cache=41_943_040,
    shared=164,
  ),
  'v5e': _tpu('v5e:2x2'),
  'v5p': _tpu('v5p:2x2x1'),
  'v6e': _tpu('v6e:2x2'),
}


def ahead(names: Sequence[str], chip: str, bfloat16: bool) -> str:
  """The table, in Markdown.

  Args:
    names: of `fewest.SHAPES`; all where there is none.
    chip: of `CHIPS`.
    bfloat16: whether networks compute in it.

  Raises:
    UserError: there is no such step or chip, or no compiler for it.
  """
  fewest.check(names)
  if chip not in CHIPS:
    raise UserError(f'--chip: there is no {chip}, but {", ".join(CHIPS)}')
  devices = described(CHIPS[chip])
  head = (
    'experiment',
    'GFLOP',
    'over the fewest',
    'MB',
    'rematerialized: FLOPs',
    'MB',
    f'divided over {DIVIDED}: FLOPs',
    'MB',
    'sums',
    'compiles, s',
  )
  lines = [f'| {" | ".join(head)} |', '|' + '---|' * len(head)]
  for name in tqdm(
    names or fewest.SHAPES, desc='steps', disable=None, leave=False
  ):
    numbers = {**fewest.SMALLER.get(name, {}), 'bfloat16': bfloat16}
    lines.append(row(name, *fewest.game(name, numbers), CHIPS[chip], devices))
  dtype = 'bfloat16' if bfloat16 else 'float32'
  told = f'{devices[0].device_kind}, {dtype}, jax {jax.__version__}'
  return '\n'.join([told, '', *lines])


def described(chip: Chip) -> Sequence[jax.Device]:
  """`DIVIDED` chips, to compile for.

  Where there is no GPU, CUDA's compiler is there only if `jax_platforms` was
  set to 'cpu' before jax started.

  Raises:
    UserError: their compiler is not installed.
  """
  if not installed(chip):
    raise UserError(
      f'the benchmark ahead needs {" or ".join(chip.compilers)} for this chip, '
      f'which is not installed. Run: pip install "jgan[{chip.extra}]"'
    )
  # Else libtpu asks the cloud where it is, and keeps others from loading it.
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
  return topologies.get_topology_desc(**chip.described).devices


def installed(chip: Chip) -> bool:
  """Whether there is a compiler for it."""
  return any(importlib.util.find_spec(name) for name in chip.compilers)


def row(
  name: str,
  gan: jgan.GAN,
  batch: jgan.Batch,
  chip: Chip,
  devices: Sequence[jax.Device],
) -> str:
  """A line of the table; ratios are of FLOPs over the fewest."""
  moves = tuple(player.label for player in gan.players)
  least = fewest.fewest(gan, batch, moves)
  whole, pieces, divided = (
    compiled(game, batch, chip, devices[:count])
    for game, count in (
      (gan, 1),
      (dispatch.rematerialized(gan), 1),
      (gan, DIVIDED),
    )
  )
  cells = (
    name,
    f'{least / 1e9:.2f}',
    f'{whole.flop / least:.4f}',
    f'{whole.memory / 1e6:.1f}',
    f'{pieces.flop / least:.2f}',
    f'{pieces.memory / 1e6:.1f}',
    f'{DIVIDED * divided.flop / least:.4f}',
    f'{divided.memory / 1e6:.1f}',
    f'{divided.sums}',
    f'{whole.seconds:.0f}',
  )
  return f'| {" | ".join(cells)} |'


def compiled(
  gan: jgan.GAN,
  batch: jgan.Batch,
  chip: Chip,
  devices: Sequence[jax.Device],
) -> Program:
  """The step of a game in which all players move, on these devices.

  Args:
    gan: any.
    batch: of the training, or its shapes and dtypes.
    chip: what the devices are.
    devices: over which the batch is divided.
  """
  mesh = jgan.sharding.data_mesh(devices)
  everywhere = jgan.sharding.replicated(mesh)
  key = jax.eval_shape(jax.random.key, 0)
  state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch)
  moves = tuple(player.label for player in gan.players)
  lowered = jax.jit(
    functools.partial(jgan.train_step, gan, moves=moves),
    donate_argnums=0,
    out_shardings=everywhere,
  ).lower(
    _placed(state, everywhere),
    _placed(batch, jgan.sharding.over_examples(mesh)),
    _placed(key, everywhere),
  )
  start = time.perf_counter()
  program = lowered.compile(dict(chip.options))
  seconds = time.perf_counter() - start
  text = program.as_text()
  return Program(
    flops.compiled(text),
    program.memory_analysis().temp_size_in_bytes,
    text.count(' all-reduce(') + text.count(' all-reduce-start('),
    seconds,
  )


def _placed(arrays: PyTree, sharding: jax.sharding.Sharding) -> PyTree:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), arrays
  )
