"""What is timed of a game: its step and parts of it, in both frameworks."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import jgan
from experiments import dispatch, runtime
from experiments.benchmarks.pytorch import device as devices
from experiments.benchmarks.pytorch import parity
from experiments.benchmarks.pytorch.game import (
  Game,
  Modules,
  channels_first,
  step,
)
from experiments.benchmarks.turns import in_turns

Moves = tuple[str, ...]
Programs = Callable[[Moves], jax.stages.Compiled]
Turn = Callable[[int], None]
"""Plays so many steps, and waits for the last."""

RATE, B1, B2 = 2e-4, 0.5, 0.999  # of Adam, of all players


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
    cycle: steps of a cycle of moves.
    seconds: of a turn of jgan's, where `steps` is None.
  """
  for turn in ways.values():
    turn(cycle)
  if steps is None:
    start = time.perf_counter()
    ways['jgan'](cycle)
    steps = cycle * seconds / (time.perf_counter() - start)
  steps = cycle * max(1, math.ceil(steps / cycle))
  took = in_turns(
    [lambda _, turn=turn: turn(steps) for turn in ways.values()], turns
  )
  return dict(zip(ways, took.T / steps, strict=True))


class Start(NamedTuple):
  """jgan's side of a game before the first step: it steps by Adam.

  Attributes:
    gan: the game.
    state: of all players.
    batch: random reals, on the device.
    key: the run's.
    real: the same reals, for PyTorch.
  """

  gan: jgan.GAN
  state: jgan.TrainState
  batch: jgan.Batch
  key: jax.Array
  real: np.ndarray


def start(game: Game) -> Start:
  """Makes the state and a batch."""
  gan = parity.with_optimizer(game.gan, optax.adam(RATE, B1, B2))
  key, rng = jax.random.key(0), np.random.default_rng(0)
  real = rng.uniform(-1, 1, game.real).astype(np.float32)
  batch = {'image': jax.device_put(real)}
  return Start(gan, jgan.init(gan, key, batch), batch, key, real)


def programs(
  gan: jgan.GAN, state: jgan.TrainState, batch: jgan.Batch, key: jax.Array
) -> Programs:
  """The compiled step by who moves, each made when it is first asked for."""

  def step(state, batch, key, moves):
    return jgan.train_step(gan, state, batch, key, moves=moves)

  jitted = jax.jit(step, static_argnames='moves', donate_argnames='state')

  @functools.cache
  def program(moves):
    lowered = jitted.lower(state, batch, key, moves=moves)
    return lowered.compile(runtime.compiler_options())

  return program


def jgan_turn(
  program: Programs,
  state: jgan.TrainState,
  batch: jgan.Batch,
  key: jax.Array,
  cycle: Sequence[Moves],
) -> Turn:
  """Plays on from a copy of a state, as the moves of the cycle say."""
  state = jax.tree.map(jnp.copy, state)

  def turn(steps):
    nonlocal state
    for number in range(steps):
      moves = cycle[number % len(cycle)]
      state, _ = program(moves)(state, batch, key)
    jax.block_until_ready(state)

  return turn


def dispatched_turn(
  start: Start, program: Programs, cycle: Sequence[Moves]
) -> tuple[Turn, int]:
  """`jgan_turn` as the loop dispatches steps here, see `experiments.dispatch`.

  Returns:
    It, and how many steps at a time it plays: as many whole cycles as a
    dispatch may have, or else a cycle, step by step.
  """
  gan, state, batch, key, _ = start
  count = dispatch.by_default() // len(cycle) * len(cycle)
  if count <= 1:
    return jgan_turn(program, state, batch, key, cycle), len(cycle)

  def several(state, batch, key):
    return jgan.train_steps(
      gan, state, lambda _: batch, key, count=count, moves=cycle
    )

  jitted = jax.jit(
    several,
    donate_argnames='state',
    compiler_options=runtime.compiler_options(),
  )
  state = jax.tree.map(jnp.copy, state)

  def turn(steps):
    nonlocal state
    for _ in range(steps // count):
      state, _ = jitted(state, batch, key)
    jax.block_until_ready(state)

  return turn, count


def torch_turn(
  game: Game,
  modules: Modules,
  adam: Mapping[str, bool],
  real: np.ndarray,
  cycle: Sequence[Moves],
) -> Turn:
  """Plays on with networks, which it moves, as the moves of the cycle say."""
  play, device = _player(game, modules, adam, real), devices.of(modules)

  def turn(steps):
    for number in range(steps):
      play(cycle[number % len(cycle)])
    devices.wait(device)

  return turn


def captured_turn(
  game: Game,
  modules: Modules,
  adam: Mapping[str, bool],
  real: np.ndarray,
  cycle: Sequence[Moves],
) -> Turn:
  """`torch_turn` by CUDA graphs: each step is one launch, draws and Adam in it.

  Raises:
    RuntimeError: a step cannot be captured.
  """
  play = _player(game, modules, {**adam, 'capturable': True}, real)
  device = devices.of(modules)
  # What is made but once, such as compiled code, is made before, on a stream
  # that is not the default one, as capturing wants it.
  aside = torch.cuda.Stream(device)
  aside.wait_stream(torch.cuda.current_stream(device))
  with torch.cuda.stream(aside):
    for moves in 3 * list(cycle):
      play(moves)
  torch.cuda.current_stream(device).wait_stream(aside)
  graphs = {moves: torch.cuda.CUDAGraph() for moves in cycle}
  for moves, graph in graphs.items():
    with torch.cuda.graph(graph):
      play(moves)

  def turn(steps):
    for number in range(steps):
      graphs[cycle[number % len(cycle)]].replay()
    devices.wait(device)

  return turn


def _player(game, modules, adam, real):
  """Plays a step of given moves."""
  device = devices.of(modules)
  real = channels_first(torch.from_numpy(real).to(device))
  optimizers = {
    name: torch.optim.Adam(module.parameters(), RATE, (B1, B2), **adam)
    for name, module in modules.items()
  }

  def play(moves):
    step(game, modules, optimizers, real, game.draw(device), moves)

  return play


def compiled(
  game: Game, modules: Modules, adam: Mapping[str, bool], real, cycle
) -> Turn:
  """`torch_turn` with the networks compiled by `torch.compile`, in place.

  On a GPU the steps are captured as well.

  Raises:
    RuntimeError: they cannot be.
  """
  for module in modules.values():
    module.compile()
  on_gpu = devices.of(modules).type == 'cuda'
  made = captured_turn if on_gpu else torch_turn
  turn = made(game, modules, adam, real, cycle)
  turn(len(cycle))
  return turn


def samples(
  game: Game,
  gan: jgan.GAN,
  state: jgan.TrainState,
  batch: jgan.Batch,
  key: jax.Array,
  device: torch.device = devices.CPU,
) -> dict[str, Turn]:
  """The generator alone, without gradients; `device` is PyTorch's."""
  asked = {'index': jnp.arange(len(batch['image']))}
  program = jgan.sample.lower(gan, state, asked, key).compile()
  generator = parity.copied(game, state, device)['generator'].eval()

  def ours(steps):
    jax.block_until_ready([program(state, asked, key) for _ in range(steps)])

  @torch.no_grad()
  def theirs(steps):
    for _ in range(steps):
      generator(game.draw(device))
    devices.wait(device)

  return {'jgan': ours, 'eager': theirs}


def faster_adam(modules: Modules) -> dict[str, bool]:
  """The option of PyTorch's faster implementation of Adam for these params."""
  params = [p for module in modules.values() for p in module.parameters()]
  device = devices.of(modules)
  for param in params:
    param.grad = torch.full_like(param, 1e-3)

  def seconds(name):
    optimizer = torch.optim.Adam(params, RATE, (B1, B2), **{name: True})
    took = []
    for _ in range(10):
      start = time.perf_counter()
      optimizer.step()
      devices.wait(device)
      took.append(time.perf_counter() - start)
    return min(took)

  return {min(('foreach', 'fused'), key=seconds): True}
