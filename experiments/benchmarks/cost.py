"""What a step costs, and why: against batch, resolution and width, and on pods.

The device's own limits are measured first: the arithmetic of a large matrix
product, the memory's speed by a large copy, and the time of a program that does
nothing. Of each step then: which of the three it cannot be faster than, and how
near it comes to that.
"""

import functools
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jgan
from experiments import runtime
from experiments.benchmarks import flops

BASE = {'batch': 64, 'resolution': 32, 'width': 32}
OTHERS = {'batch': (16, 256), 'resolution': (16, 64), 'width': (16, 64)}


class Limits(NamedTuple):
  """What a device can do at most.

  Attributes:
    arithmetic: FLOP/s.
    memory: bytes/s, read and written.
    dispatch: seconds of a program that does nothing.
  """

  arithmetic: float
  memory: float
  dispatch: float

  def seconds(self, flop: float, size: float) -> dict[str, float]:
    """The least time of each kind for so many FLOPs and bytes."""
    return {
      'arithmetic': flop / self.arithmetic,
      'memory': size / self.memory,
      'dispatch': self.dispatch,
    }


class Pod(NamedTuple):
  """Chips, by what their makers publish, and a guess.

  Attributes:
    name: of the chip.
    arithmetic: FLOP/s of each in bfloat16, dense.
    network: bytes/s of each, to the others, in one direction.
    utilisation: the share of the arithmetic that a training reaches: a guess.
  """

  name: str
  arithmetic: float
  network: float
  utilisation: float = 0.35


# NVIDIA's data sheet of the H100 SXM, and 400 Gbit/s to each; Google's page of
# the TPU v5e.
PODS = (Pod('H100 SXM', 989e12, 50e9), Pod('TPU v5e', 197e12, 50e9))
# R3GAN for ImageNet-64 as the paper trains it: 1,000 million images in batches
# of 4,096. Its widths are not published with the facts at hand: those here are
# twice the paper's for FFHQ-64, as they are at 32 pixels.
R3GAN = {'widths': (1536, 1536, 1536, 1536, 768), 'batch': 4096}
IMAGES, CHIPS = 1_000_000_000, (8, 64, 512)


def cost(turns: int = 10) -> str:
  """Tells the device's limits, what steps take, and what pods would take."""
  limits = measured(turns)
  lines = [
    f'{jax.devices()[0].device_kind}, jax {jax.__version__}: '
    f'{limits.arithmetic / 1e9:.4g} GFLOP/s, {limits.memory / 1e9:.3g} GB/s, '
    f'{1e6 * limits.dispatch:.0f} us to dispatch',
    '',
    f'DCGAN; median of {turns} steps',
    'batch  pixels  width  ms/step  images/s   GFLOP     MB  limit       '
    'least, ms  share of it',
  ]
  sizes = [BASE] + [
    BASE | {name: value} for name, values in OTHERS.items() for value in values
  ]
  lines += [_row(limits, size, turns) for size in sizes]
  return '\n'.join([*lines, '', pods()])


def measured(turns: int) -> Limits:
  """The limits of the first device, each the best of so many tries."""
  # On a CPU arrays as large as a step's are: larger ones come from the system
  # anew each time, which is slower than the memory.
  cpu = jax.default_backend() == 'cpu'
  n, size = (2048, 4 * 2**20) if cpu else (4096, 64 * 2**20)
  square, long = jnp.ones((n, n)), jnp.ones((size,))
  product = best(jax.jit(jnp.matmul), (square, square), turns)
  copy = best(jax.jit(lambda x: x + 1), (long,), turns)
  nothing = best(jax.jit(lambda x: x), (jnp.ones(()),), turns)
  return Limits(2 * n**3 / product, 2 * long.nbytes / copy, nothing)


def best(
  function: Callable, arguments: tuple, turns: int, of: Callable = min
) -> float:
  """Seconds of a call: the least of so many, or what `of` makes of them."""
  jax.block_until_ready(function(*arguments))
  seconds = []
  for _ in range(turns):
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    seconds.append(time.perf_counter() - start)
  return float(of(seconds))


def _row(limits, size, turns):
  batch, resolution, width = size['batch'], size['resolution'], size['width']
  gan = jgan.models.dcgan(resolution, 3, width=width)
  key = jax.random.key(0)
  example = {
    'image': jnp.zeros((batch, resolution, resolution, 3)),
    'index': jnp.arange(batch),
  }
  state = jax.jit(functools.partial(jgan.init, gan))(key, example)
  step = jax.jit(jgan.train_step, static_argnames=('gan', 'moves'))
  compiled = step.lower(
    gan, state, example, key, moves=jgan.moves(gan, 0)
  ).compile(runtime.compiler_options())
  seconds = best(compiled, (state, example, key), turns, np.median)
  told = compiled.cost_analysis()
  least = limits.seconds(told['flops'], told['bytes accessed'])
  limit = max(least, key=least.get)
  return (
    f'{batch:5}  {resolution:6}  {width:5}  {1e3 * seconds:7.1f}  '
    f'{batch / seconds:8,.0f}  {told["flops"] / 1e9:6.2f}  '
    f'{told["bytes accessed"] / 1e6:5.0f}  {limit:10}  '
    f'{1e3 * least[limit]:9.2f}  {least[limit] / seconds:.0%}'
  )


def pods() -> str:
  """What R3GAN for ImageNet-64 would cost on chips that are not here."""
  per_image, params = r3gan()
  lines = [
    f'R3GAN, ImageNet-64, {IMAGES / 1e6:,.0f} million images in batches of '
    f'{R3GAN["batch"]:,}: {per_image / 1e9:.4g} GFLOP an image (counted), '
    f'{params / 1e6:.4g} million params (widths assumed). Estimated, not '
    'measured here:',
    'chip         chips  arithmetic, s  all-reduce, s  images/s     days',
  ]
  for pod in PODS:
    for chips in CHIPS:
      work = R3GAN['batch'] * per_image / chips
      compute = work / (pod.arithmetic * pod.utilisation)
      # A ring sends each gradient twice, in float32, all but a share of it.
      sums = 2 * 4 * params * (1 - 1 / chips) / pod.network
      # Worst case: none of the sums hides behind the arithmetic.
      step = compute + sums
      days = IMAGES / R3GAN['batch'] * step / 86_400
      lines.append(
        f'{pod.name:11}  {chips:5}  {compute:13.3f}  {sums:13.3f}  '
        f'{R3GAN["batch"] / step:8,.0f}  {days:7.1f}'
      )
  guess = ', '.join(f'{pod.name} {pod.utilisation:.0%}' for pod in PODS)
  return '\n'.join([*lines, f'with this share of the arithmetic: {guess}'])


@functools.cache
def r3gan() -> tuple[float, int]:
  """FLOPs of an image in a step of both players, and their params."""
  count = 8  # FLOPs grow with the batch alone
  gan = jgan.models.r3gan(
    64, num_classes=1000, widths=R3GAN['widths'], augmentation=0.4
  )
  batch = {
    'image': jax.ShapeDtypeStruct((count, 64, 64, 3), jnp.float32),
    'label': jax.ShapeDtypeStruct((count,), jnp.int32),
    'index': jax.ShapeDtypeStruct((count,), jnp.int32),
  }
  key = jax.random.key(0)
  state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch)

  def step(state, batch, key):
    moves = jgan.moves(gan, 0)
    return jgan.train_step(gan, state, batch, key, moves=moves)

  params = sum(
    math.prod(x.shape)
    for own in state.variables.values()
    for x in jax.tree.leaves(own['params'])
  )
  return flops.traced(step, state, batch, key) / count, params
