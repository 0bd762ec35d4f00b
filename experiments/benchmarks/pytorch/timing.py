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
    return jitted.lower(state, batch, key, moves=moves).compile()

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


def torch_turn(
  game: Game,
  modules: Modules,
  adam: Mapping[str, bool],
  real: np.ndarray,
  cycle: Sequence[Moves],
) -> Turn:
  """Plays on with networks, which it moves, as the moves of the cycle say."""
  real = channels_first(torch.from_numpy(real))
  optimizers = {
    name: torch.optim.Adam(module.parameters(), RATE, (B1, B2), **adam)
    for name, module in modules.items()
  }

  def turn(steps):
    for number in range(steps):
      moves = cycle[number % len(cycle)]
      step(game, modules, optimizers, real, game.draw(), moves)

  return turn


def compiled(
  game: Game, state: jgan.TrainState, adam: Mapping[str, bool], real, cycle
) -> Turn:
  """`torch_turn` with networks that `torch.compile` has compiled.

  Raises:
    RuntimeError: they cannot be.
  """
  modules = parity.copied(game, state)
  for module in modules.values():
    module.compile()
  turn = torch_turn(game, modules, adam, real, cycle)
  turn(len(cycle))
  return turn


def samples(
  game: Game,
  gan: jgan.GAN,
  state: jgan.TrainState,
  batch: jgan.Batch,
  key: jax.Array,
) -> dict[str, Turn]:
  """The generator alone, without gradients."""
  asked = {'index': jnp.arange(len(batch['image']))}
  program = jgan.sample.lower(gan, state, asked, key).compile()
  generator = parity.copied(game, state)['generator'].eval()

  def ours(steps):
    jax.block_until_ready([program(state, asked, key) for _ in range(steps)])

  @torch.no_grad()
  def theirs(steps):
    for _ in range(steps):
      generator(game.draw())

  return {'jgan': ours, 'eager': theirs}


def faster_adam(modules: Modules) -> dict[str, bool]:
  """The option of PyTorch's faster implementation of Adam for these params."""
  params = [p for module in modules.values() for p in module.parameters()]
  for param in params:
    param.grad = torch.full_like(param, 1e-3)

  def seconds(name):
    optimizer = torch.optim.Adam(params, RATE, (B1, B2), **{name: True})
    took = []
    for _ in range(10):
      start = time.perf_counter()
      optimizer.step()
      took.append(time.perf_counter() - start)
    return min(took)

  return {min(('foreach', 'fused'), key=seconds): True}
