"""Several runs in step: one program, and of each all that a run leaves behind.

The loop is that of `experiments.train` with the steps of all in one dispatch;
metrics, samples, scores and checkpoints are written by its functions.
"""

import contextlib
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

import jgan
from experiments import best, data, train
from experiments import config as configs
from experiments.checkpoints import Checkpoints
from experiments.dispatch import dispatched, next_moves
from experiments.ensemble import Program
from experiments.errors import UserError
from experiments.feed import feed_members
from experiments.files import write_json
from experiments.logs import Log, Progress, Stopwatch, write_metrics
from experiments.task import Task

DIVERGED = 'diverged.json'  # in the workdir of a member that sits out


class Member(NamedTuple):
  """A run among others, what it is built of, and where it is kept."""

  run: configs.Run
  task: Task
  checkpoints: Checkpoints

  def batch(self, step: int) -> jgan.Batch:
    """Batch number `step`, as the data give it."""
    config = self.run.config
    return data.batch(self.task.source, config.seed, step, config.batch_size)


def restored(members: Mapping[str, Member]) -> dict[str, jgan.TrainState]:
  """The states to go on from, those of unfinished members all of one step.

  Members that diverged are left out. A kill between two saves leaves some
  ahead of others: then all go back to the newest step that all have saved, and
  later checkpoints are deleted.

  Raises:
    UserError: there is no such step, or no member that did not diverge.
  """

  def read(names):
    return {
      name: train.restored_or_new(m.task, m.checkpoints)
      for name, m in members.items()
      if name in names
    }

  gone = [n for n, m in members.items() if (m.run.workdir / DIVERGED).exists()]
  if gone:
    print(f'Diverged, and left out: {", ".join(gone)}')
  if len(gone) == len(members):
    raise UserError('all members diverged; give other flags')
  found = read(members.keys() - gone)
  while True:
    steps = {
      name: step
      for name, (step, _) in found.items()
      if step < members[name].run.config.steps
    }
    if len(set(steps.values())) < 2:
      return {name: state for name, (_, state) in found.items()}
    common = set.intersection(
      *(set(members[name].checkpoints.steps()) for name in steps)
    )
    if not common:
      raise UserError(
        f'members are in different steps, {steps}, and have no checkpoint of '
        'one step. Finish those that are ahead first, by a sweep of them alone '
        'or by experiments.train'
      )
    print(f'Going back to step {max(common)}, the newest that all have saved.')
    for name in steps:
      members[name].checkpoints.go_back(max(common))
    found |= read(steps)


class _Live(NamedTuple):
  """A member that is playing."""

  name: str
  index: int  # among those that play
  run: configs.Run
  task: Task
  checkpoints: Checkpoints
  log: Log
  evaluate: Callable[[int, jgan.TrainState], str] | None


def play(
  members: Mapping[str, Member],
  states: MutableMapping[str, jgan.TrainState],
  program: Program,
  stopped: Callable[[], int],
) -> dict[str, jgan.TrainState]:
  """Trains members to their last step.

  Args:
    members: by name; their numbers differ in the seed and one other at most.
    states: where they stand, by name, all in one step. Theirs are taken out,
      so that no second copy stays in memory.
    program: their steps, in the same order.
    stopped: tells which signal has asked to stop, 0 for none.

  Returns:
    The last states of those that did not diverge.

  Raises:
    UserError: all diverged.
    SystemExit: a signal came; all is saved.
  """
  run, task, _ = next(iter(members.values()))
  config, start = run.config, int(states[next(iter(members))].step)
  with contextlib.ExitStack() as stack:
    live = _opened(members, states, start, stack)
    progress = stack.enter_context(
      Progress(
        config.steps,
        start,
        batch_size=len(members) * config.batch_size,
        unit=task.modality.unit,
      )
    )
    gans = [member.task.gan for member in members.values()]
    batches = feed_members(
      [member.task.source for member in members.values()],
      program.mesh,
      [member.run.config.seed for member in members.values()],
      config.batch_size,
      range(start, config.steps),
      dispatched(config),
      gather=program.gather,
    )
    carried, played = program.join([states.pop(name) for name in members]), []
    done, waiting, hurry = start, Stopwatch(), None
    while done < config.steps and not hurry:
      moves = next_moves(gans, config, done)
      with waiting:
        inputs = batches.inputs(len(moves[0]))
      carried, metrics = program.play(
        carried, batches.stored, inputs, batches.read, moves
      )
      played.append((len(moves[0]), metrics))
      jax.block_until_ready(played[-2:][0])  # one ahead, no further
      done, hurry, losses = done + len(moves[0]), stopped(), None
      last = done == config.steps or hurry
      if done % config.log_every == 0 or last:
        waited = waiting.share()
        live, losses = _logged(live, done, played, waited, progress.say)
        played = []
      due = [
        last or done % config.sample_every == 0,
        last or done % config.save_every == 0,
        config.evaluate_every and done % config.evaluate_every == 0,
      ]
      with progress.pausing():
        for one in live if any(due) else ():
          part = program.part(carried, one.index)
          _write(one, done, part, due, progress.say)
      progress.update(done, losses)
    for member in members.values():
      member.checkpoints.wait()
    progress.close()
  if done < config.steps:
    print(f'Stopped after step {done}; saved. To go on: the same command.')
    raise SystemExit(128 + hurry)
  return {one.name: program.part(carried, one.index) for one in live}


def _opened(
  members: Mapping[str, Member],
  states: Mapping[str, jgan.TrainState],
  start: int,
  stack: contextlib.ExitStack,
) -> list[_Live]:
  """The members with what `stack` closes; pictures of step 0 are written."""
  live = []
  for i, (name, (run, task, checkpoints)) in enumerate(members.items()):
    log = stack.enter_context(Log(run.workdir, start))
    evaluate = run.config.evaluate_every and best.evaluator(
      run, task, log, stack
    )
    live.append(_Live(name, i, run, task, checkpoints, log, evaluate))
    if start == 0:
      train.write_reals(run, task, log)
      train.write_samples(run, task, states[name], 0, log)
  return live


def _logged(
  live: Sequence[_Live],
  done: int,
  played: Sequence[tuple[int, jgan.Metrics]],
  waited: float,
  say: Callable[[str], None],
) -> tuple[list[_Live], dict[str, float]]:
  """Logs averages over the steps played.

  Returns:
    Those that did not diverge, and each player's loss as they have it on
    average. A file in the workdir of the others says that they diverged.
  """
  played, left, losses = jax.device_get(played), [], []
  for one in live:
    own = [
      (count, {k: x[one.index] for k, x in metrics.items()})
      for count, metrics in played
    ]
    try:
      losses.append(write_metrics(one.log, done, own, waited))
      left.append(one)
    except UserError as error:
      say(f'{one.name}: {error}')
      write_json(one.run.workdir / DIVERGED, {'step': done})
  if not left:
    raise UserError('all members diverged; give other flags')
  return left, {k: np.mean([each[k] for each in losses]) for k in losses[0]}


def _write(
  one: _Live,
  done: int,
  state: jgan.TrainState,
  due: Sequence[bool],
  say: Callable[[str], None],
) -> None:
  """Shows, saves and scores the state of a member, as far as it is due."""
  shows, saves, scores = due
  if shows:
    train.write_samples(one.run, one.task, state, done, one.log)
  if saves:
    one.checkpoints.save(done, state)
  if scores:
    say(f'{one.name}: {one.evaluate(done, state)}')
