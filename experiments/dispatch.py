"""The compiled programs that play a run's steps, and what each dispatch plays.

Steps go one by one or several in a program, see --steps-per-dispatch, each
batch at once or part by part, see --microbatches, and activations are kept or
computed again, see --rematerialize.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
from jaxtyping import PyTree

import jgan
from experiments import config as configs
from experiments import data
from experiments.errors import UserError
from experiments.feed import Feed

Moves = Sequence[tuple[str, ...]]  # who moves, by step


def in_less_memory(gan: jgan.GAN, config: configs.Config) -> jgan.GAN:
  """The game as --microbatches and --rematerialize say.

  Raises:
    UserError: a player has its own way to differentiate.
  """
  gan = in_parts(gan, config.microbatches)
  return rematerialized(gan) if config.rematerialize else gan


def rematerialized(gan: jgan.GAN) -> jgan.GAN:
  """The game whose gradients compute activations again, and keep few."""
  return _differentiated(gan, jgan.rematerialization.rematerialized)


def in_parts(gan: jgan.GAN, count: int) -> jgan.GAN:
  """The game with each player's gradient a mean over so many microbatches.

  Raises:
    UserError: a player has its own way to differentiate.
  """
  if count == 1:
    return gan
  for player in gan.players:
    if player.gradient is not jgan.gradients.whole:
      raise UserError(
        f'--microbatches={count}: the {player.label} takes its gradients in '
        'its own way, such as example by example for privacy; leave it at 1'
      )
  return _differentiated(gan, lambda _: jgan.gradients.microbatches(count))


def _differentiated(gan, change):
  players = (
    player._replace(gradient=change(player.gradient)) for player in gan.players
  )
  return gan._replace(players=tuple(players))


def next_moves(
  gans: Sequence[jgan.GAN], config: configs.Config, step: int
) -> tuple[Moves, ...]:
  """Who moves, by game, in the next dispatch: of several steps, or of one.

  Several are whole cycles of moves from the beginning of one, so that they are
  one program, and end no later than anything else is due. Of cycles that are
  longer than a dispatch may be, steps go one by one.
  """
  often = [
    config.log_every,
    config.sample_every,
    config.save_every,
    config.evaluate_every or config.steps,
  ]
  due = min(config.steps, *(step + every - step % every for every in often))
  length = cycle_length([player for gan in gans for player in gan.players])
  cycle = length or 1
  count = dispatched(config) // cycle * cycle
  if count > 1 and step % cycle == 0 and step + count <= due:
    several = [_moves(gan, range(step, step + count)) for gan in gans]
    if length or all(len(set(moves)) == 1 for moves in several):
      return tuple(several)
  return tuple(_moves(gan, [step]) for gan in gans)


def _moves(gan: jgan.GAN, steps: Iterable[int]) -> Moves:
  return tuple(jgan.moves(gan, step) for step in steps)


def dispatched(config: configs.Config) -> int:
  """The most steps in a dispatch; see --steps-per-dispatch."""
  return config.steps_per_dispatch or by_default()


def by_default() -> int:
  """The most steps in a dispatch where no number is asked for.

  One on a CPU: in a loop its kernel gradients would be slow, and without one
  the program would take longer to compile.
  """
  return 1 if jax.default_backend() == 'cpu' else 10


def cycle_length(players: Sequence[jgan.Player]) -> int | None:
  """Steps after which the moves repeat; None where a predicate decides."""
  if any(callable(player.every) for player in players):
    return None
  return math.lcm(*(player.every for player in players))


def told_by(players: Sequence[jgan.Player], start: int, steps: int) -> range:
  """Steps that tell how often each pattern of moves occurs from `start` on.

  A cycle of them; all that are left where those are fewer, or where a predicate
  decides, such as the phases of a training.
  """
  cycle = cycle_length(players)
  return range(start, steps if cycle is None else min(steps, start + cycle))


def play(
  gan: jgan.GAN,
  state: jgan.TrainState,
  read: Callable[[PyTree], jgan.Batch],
  inputs: PyTree,
  key: jax.Array,
  moves: Moves,
) -> tuple[jgan.TrainState, jgan.Metrics]:
  """The steps of a dispatch, to be compiled.

  Args:
    gan: the game.
    state: before the first of the steps.
    read: the batch of what a step reads, as the data give it.
    inputs: what each step reads, stacked along a leading axis.
    key: the run's.
    moves: who moves in each step, as `next_moves` tells it.

  Returns:
    The state after them, and their metrics as `jgan.train_steps` averages them.
  """
  first = state.step

  def batch(step):
    return data.to_float(read(jax.tree.map(lambda x: x[step - first], inputs)))

  if len(moves) == 1:
    return jgan.train_step(gan, state, batch(first), key, moves=moves[0])
  cycle = moves[: cycle_length(gan.players) or 1]
  return jgan.train_steps(gan, state, batch, key, count=len(moves), moves=cycle)


def step_programs(
  gan: jgan.GAN,
  state: jgan.TrainState,
  key: jax.Array,
  batches: Feed,
  options: Mapping[str, str],
) -> Callable[[Moves], jax.stages.Compiled]:
  """The compiled steps by who moves in each, made when they are asked for.

  A small program for each pattern of moves, since a condition around
  convolutions inside of one is slow on CPUs. Each takes the state, which it
  donates, `batches.stored`, inputs of the steps and the key.

  Args:
    gan: the game.
    state: its shapes and shardings.
    key: the run's, on all devices.
    batches: where the batches come from.
    options: of the compiler.
  """

  def steps(state, stored, inputs, key, moves):
    read = functools.partial(batches.read, stored)
    return play(gan, state, read, inputs, key, moves)

  jitted = jax.jit(
    steps,
    static_argnames='moves',
    donate_argnames='state',
    out_shardings=key.sharding,
    compiler_options=options,
  )

  @functools.cache
  def program(moves):
    inputs = batches.form(len(moves))
    lowered = jitted.lower(state, batches.stored, inputs, key, moves)
    return lowered.compile()

  return program
