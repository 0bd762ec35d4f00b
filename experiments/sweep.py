"""Trains GANs of several seeds in one program, and tells how scores vary.

  python -m experiments.sweep digits --seeds=8 --workdir=runs/digits
  python -m experiments.sweep digits-stylegan2 --workdir=runs/gamma \\
    --seeds=4 --sweep=gamma=0.1,1,10

--seeds runs of successive seeds, from --seed on; with --sweep as many of each
value of a number of the experiment. The other flags are those of
`experiments.train`, and each member is a run like one of that command, in
DIR/seed0 or DIR/gamma0.1-seed0: to be sampled, evaluated and continued by
itself. The same command run again goes on with all. In the end come the scores
of `experiments.best.SCORED` samples of each: their means and standard
deviations over the seeds are printed, and kept in DIR/scores.json and .md.

On a CPU the members' steps are written out one after the other; elsewhere they
are mapped side by side, an equal share on each device, or all on the first
where their number does not divide. A number that decides shapes or code, such
as a width, can be swept as well; then they are written out on the first device.
All in one process. A GAN may not depend on the seed; none here does.
"""

import contextlib
import dataclasses
import functools
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import tyro

from experiments import (
  best,
  command_line,
  dispatch,
  ensemble,
  kept,
  lockstep,
  processes,
  runtime,
  sampler,
  spread,
  train,
)
from experiments import config as configs
from experiments.checkpoints import Checkpoints
from experiments.ensemble import Program
from experiments.errors import UserError, building, counted, reported
from experiments.feed import same
from experiments.files import alone, write_batch, write_json, write_text
from experiments.lockstep import Member
from experiments.signals import stop_signals
from experiments.task import build, check_enough


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """What a sweep is told beside the flags of `experiments.train`."""

  seeds: int = 1
  """runs of each value, of successive seeds"""
  sweep: Annotated[str, tyro.conf.arg(metavar='NAME=VALUE,...')] = ''
  """a number of the experiment, and its values"""


class Sweep(NamedTuple):
  """What a command was asked to do.

  Attributes:
    workdir: where the members and their scores are.
    number: the entry of the configs that is swept; empty for none.
    runs: the members' by name, the seeds of a value together.
  """

  workdir: Path
  number: str
  runs: Mapping[str, configs.Run]

  def value(self, run: configs.Run) -> float | None:
    """The swept number of a member, if any."""
    return getattr(run.config, self.number) if self.number else None


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  argv = sys.argv[1:] if argv is None else argv
  runtime.prepare()
  sweep(parse(argv))


def parse(argv: Sequence[str]) -> Sweep:
  """Reads a command line. Raises as `command_line.parse` does."""
  program = 'python -m experiments.sweep'
  asked, rest = tyro.cli(
    Arguments, args=argv, prog=program, add_help=False, return_unknown_args=True
  )
  if {'-h', '--help'} & set(rest):
    print(__doc__)
  read = functools.partial(
    command_line.parse,
    experiments=train.EXPERIMENTS,
    default=train.DEFAULT,
    program=program,
  )
  runs, number = [read(rest)], ''
  if runs[0].distributed:
    raise UserError('--distributed is for experiments.train; a sweep is alone')
  if asked.seeds < 1:
    raise UserError(f'--seeds must be 1 or more, got {asked.seeds}')
  if asked.sweep:
    flag, _, values = asked.sweep.partition('=')
    number = flag.replace('-', '_')
    check_number(number, asked.sweep, runs[0])
    runs = [read([*rest, f'--{flag}={value}']) for value in values.split(',')]
  members = {}
  for run in runs:
    value = f'{number}{getattr(run.config, number):.10g}-' if number else ''
    for seed in range(run.config.seed, run.config.seed + asked.seeds):
      name = f'{value}seed{seed}'
      with building():
        config = dataclasses.replace(run.config, seed=seed)
      members[name] = configs.Run(run.name, run.workdir / name, config)
  if len(members) < len(runs) * asked.seeds:
    raise UserError(f'--sweep={asked.sweep} names a value twice')
  return Sweep(runs[0].workdir, number, members)


def check_number(number: str, given: str, run: configs.Run) -> None:
  """UserError: the experiment has no such number of its own."""
  common = {field.name for field in dataclasses.fields(configs.Config)}
  own = {
    name: value
    for name, value in dataclasses.asdict(run.config).items()
    if name not in common and type(value) in (int, float)
  }
  if number not in own:
    raise UserError(
      f'--sweep={given} must be NAME=VALUE,VALUE... with a number that '
      f'{run.name} has for itself: {", ".join(own)}'
    )


def sweep(asked: Sweep, mapped: bool | None = None) -> None:
  """Trains all members to their last step, and scores them.

  Args:
    asked: the members, and where they are.
    mapped: whether to map the step over the members, rather than to write it
      out for each. None does but on a CPU, where the swept number allows it.

  Raises:
    UserError: what was asked for cannot be built, not be scored, or not be
      mapped though `mapped` says so; or all members diverged.
    SystemExit: after SIGTERM or Ctrl-C, when all is saved.
  """
  for run in asked.runs.values():
    kept.check_resume(run)
  with contextlib.ExitStack() as stack:
    stopped = stack.enter_context(stop_signals())
    members = opened(asked, stack)
    scorers = {name: best.scorer(m.run, m.task) for name, m in members.items()}
    states = lockstep.restored(members)
    playing = {
      name: members[name]
      for name, state in states.items()
      if state.step < members[name].run.config.steps
    }
    program = playing and program_of(asked, playing, mapped)
    for folder in (asked.workdir, *(x.workdir for x in asked.runs.values())):
      kept.writable(folder)
    stack.enter_context(alone(asked.workdir))
    for member in members.values():
      kept.save(member.run)
      stack.enter_context(alone(member.run.workdir))
      write_batch(member.run.workdir, member.task.form)
    if playing:
      steps = next(iter(playing.values())).run.config.steps
      print(
        f'{counted(len(playing), "member")} to step {steps:,}, {program.about}',
        flush=True,
      )
      states |= lockstep.play(playing, states, program, stopped)
    else:
      print(f'{asked.workdir} is finished. For more: --steps.')
  scores = {}
  for name in sorted(states, key=list(members).index):
    run, task, _ = members[name]
    score, told_in = scorers[name]
    with building():
      generate = sampler.of(task.experiment, run.config, task.gan, states[name])
      found = score(generate)
    scores[name] = {k: x.value for k, x in found.items()}
  print(report(asked, scores, told_in))
  print(f'Written: {asked.workdir / "scores.md"} and .json')


def opened(asked: Sweep, stack: contextlib.ExitStack) -> dict[str, Member]:
  """The members by name.

  The seeds of a value share one GAN, traced once, and members whose data are
  the same share one source, to lie on the devices once.
  """
  members, gans, sources = {}, {}, []
  for name, run in asked.runs.items():
    task = build(run, train.EXPERIMENTS[run.name])
    check_enough(run, task)
    gan = gans.setdefault(asked.value(run), task.gan)
    source = next((x for x in sources if same(x, task.source)), task.source)
    sources.append(source)
    folder = run.workdir / 'checkpoints'
    checkpoints = stack.enter_context(Checkpoints(folder, run.config.keep))
    task = task._replace(gan=gan, source=source)
    members[name] = Member(run, task, checkpoints)
  return members


def program_of(
  asked: Sweep, members: Mapping[str, Member], mapped: bool | None
) -> Program:
  """The steps of these members; `mapped` and errors as of `sweep`."""
  runs, tasks, _ = zip(*members.values(), strict=True)
  gans = [task.gan for task in tasks]
  keys = [processes.local(task.key) for task in tasks]
  options = runtime.compiler_options()
  program = ensemble.written_out(gans, keys, jax.devices(), options)
  if not (jax.default_backend() != 'cpu' if mapped is None else mapped):
    return program

  def make_gan(value):
    if not asked.number:
      return gans[0]
    config = dataclasses.replace(runs[0].config, **{asked.number: value})
    gan = train.EXPERIMENTS[runs[0].name].make_gan(config)
    return dispatch.in_less_memory(gan, config)

  values = [asked.value(run) or 0 for run in runs]
  side_by_side = functools.partial(
    ensemble.side_by_side, make_gan, values, keys, jax.devices()
  )
  reason = asked.number and ensemble.hindrance(
    side_by_side({}),  # jax takes no options where it only traces
    gans,
    [task.state for task in tasks],
    [member.batch(0) for member in members.values()],
    dispatch.told_by(gans[0].players, 0, runs[0].config.steps),
  )
  if not reason:
    return side_by_side(options)
  reason = f'{asked.number} decides shapes or code ({reason})'
  if mapped:
    raise UserError(
      f'--sweep={asked.number}=...: {reason}, so that one mapped program '
      'cannot serve all its values; sweep it by separate runs'
    )
  print(f'{reason}; its members are not mapped side by side')
  return program


def report(
  asked: Sweep,
  scores: Mapping[str, Mapping[str, float]],
  told_in: Mapping[str, str],
) -> str:
  """Writes scores.json and scores.md; returns the latter.

  Args:
    asked: the sweep.
    scores: by member, of those that have any.
    told_in: what else another must know to compare them.
  """
  run, rows = next(iter(asked.runs.values())), {}
  for name, found in scores.items():
    value = asked.value(asked.runs[name])
    label = run.name if value is None else f'{value:.10g}'
    rows.setdefault(label, []).append(found)
  protocol = {'steps': run.config.steps, 'samples': best.SCORED, **told_in}
  content = {
    'experiment': run.name,
    'protocol': protocol,
    'members': {
      name: {k: x if math.isfinite(x) else None for k, x in found.items()}
      for name, found in scores.items()
    },
    'spread': {
      label: {k: x._asdict() for k, x in spread.spreads(row).items()}
      for label, row in rows.items()
    },
  }
  told = ', '.join(f'{k}: {v}' for k, v in protocol.items())
  page = (
    f'{spread.table(asked.number or "experiment", rows)}\n\n'
    f'Mean ± standard deviation over the seeds; {run.name}, {told}.\n'
  )
  write_json(asked.workdir / 'scores.json', content)
  write_text(asked.workdir / 'scores.md', page)
  return page


if __name__ == '__main__':
  main()
