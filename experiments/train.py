"""Trains a GAN: `python -m experiments.train [experiment] --workdir=...`.

The whole loop is here, to be read and forked. A workdir holds config.json,
metrics.jsonl, TensorBoard's events, reals.png, samples/ of fixed latents from
before the first step on, and checkpoints/; the same command goes on with it.
What is no picture has a file that plays it beside each PNG. Batches are drawn
on the devices, or streamed to them, see experiments/feed.py; the programs that
play the steps are in experiments/dispatch.py; with --distributed several
processes run this loop, see experiments/processes.py.
With --evaluate-every also best/, the checkpoint whose samples came off best
against the reals, see experiments/best.py.
"""

import collections
import contextlib
import functools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import jax
import numpy as np

import jgan
from experiments import (
  adult_ctgan,
  captions_gumbel,
  captions_seqgan,
  cifar10_acgan,
  cifar10_biggan,
  cifar10_dcgan,
  cifar10_dragan,
  cifar10_few,
  cifar10_r3gan,
  cifar10_sagan,
  cifar10_sngan,
  cifar10_stylegan2,
  cifar10_wgan_gp,
  clips,
  command_line,
  data,
  digits,
  digits_and_speech,
  digits_stylegan2,
  folder,
  kept,
  mnist_cgan,
  mnist_cyclegan,
  mnist_dcgan,
  mnist_infogan,
  mnist_lsgan,
  mnist_mlp,
  mnist_wgan,
  modality,
  moving_digits,
  names_gumbel,
  names_seqgan,
  openmoji_pix2pix,
  oracle_seqgan,
  paired,
  processes,
  runtime,
  sampler,
  series,
  sounds,
  spoken_digits,
  stacked_mnist,
  stacked_mnist_wgan_gp,
  stocks_rcgan,
  stocks_timegan,
  table,
  text,
  transactions_ctgan,
  unpaired,
)
from experiments import config as configs
from experiments.best import evaluator
from experiments.checkpoints import Checkpoints
from experiments.dispatch import (
  Moves,
  dispatched,
  next_moves,
  step_programs,
  told_by,
)
from experiments.errors import building, counted, reported
from experiments.feed import feed, put
from experiments.files import alone, write_batch
from experiments.logs import Log, Progress, Stopwatch, write_metrics
from experiments.task import Task, build, first_state

EXPERIMENTS: Mapping[str, ModuleType] = {
  'digits': digits,
  'digits-stylegan2': digits_stylegan2,
  'mnist-mlp': mnist_mlp,
  'mnist-dcgan': mnist_dcgan,
  'mnist-lsgan': mnist_lsgan,
  'mnist-wgan': mnist_wgan,
  'mnist-cgan': mnist_cgan,
  'mnist-infogan': mnist_infogan,
  'stacked-mnist': stacked_mnist,
  'stacked-mnist-wgan-gp': stacked_mnist_wgan_gp,
  'cifar10-dcgan': cifar10_dcgan,
  'cifar10-dragan': cifar10_dragan,
  'cifar10-few': cifar10_few,
  'cifar10-acgan': cifar10_acgan,
  'cifar10-wgan-gp': cifar10_wgan_gp,
  'cifar10-sngan': cifar10_sngan,
  'cifar10-sagan': cifar10_sagan,
  'cifar10-biggan': cifar10_biggan,
  'cifar10-stylegan2': cifar10_stylegan2,
  'cifar10-r3gan': cifar10_r3gan,
  'moving-digits': moving_digits,
  'clips': clips,
  'digits-and-speech': digits_and_speech,
  'adult-ctgan': adult_ctgan,
  'transactions-ctgan': transactions_ctgan,
  'openmoji-pix2pix': openmoji_pix2pix,
  'mnist-cyclegan': mnist_cyclegan,
  'spoken-digits': spoken_digits,
  'stocks-timegan': stocks_timegan,
  'stocks-rcgan': stocks_rcgan,
  'oracle-seqgan': oracle_seqgan,
  'names-seqgan': names_seqgan,
  'names-gumbel': names_gumbel,
  'captions-seqgan': captions_seqgan,
  'captions-gumbel': captions_gumbel,
  'folder': folder,
  'sounds': sounds,
  'series': series,
  'paired': paired,
  'unpaired': unpaired,
  'table': table,
  'text': text,
}
DEFAULT = 'digits'


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  argv = sys.argv[1:] if argv is None else argv
  runtime.prepare()
  parse = functools.partial(command_line.parse, argv, EXPERIMENTS, DEFAULT)
  if '--distributed' not in argv or {'-h', '--help', '--list'} & {*argv}:
    train(parse())
    return
  processes.join()
  with processes.leaving_together():
    with processes.failing_together():
      run = parse()
    train(run)


def train(run: configs.Run) -> jgan.TrainState:
  """Trains to `run.config.steps`, on from the newest checkpoint if there is.

  Args:
    run: what and where; its workdir is made when all else is checked.

  Returns:
    The last state.

  Raises:
    UserError: what was asked for cannot be built, or the training diverged.
    SystemExit: after SIGTERM or Ctrl-C, when all is saved.
  """
  config = run.config
  with processes.failing_together():
    kept.check_resume(run)
    task = build(run, EXPERIMENTS[run.name])
  processes.check_alike(kept.same_everywhere(run))
  processes.check_first_has_run(run.workdir / kept.FILE)
  with contextlib.ExitStack() as stack:
    workdir = stack.enter_context(processes.own_workdir(run.workdir))
    run = run._replace(workdir=workdir)
    with processes.failing_together():
      kept.writable(workdir)
      stack.enter_context(alone(workdir))
    stopped = stack.enter_context(processes.stop_signals())
    checkpoints = stack.enter_context(
      Checkpoints(workdir / 'checkpoints', config.keep)
    )
    start, state = restored_or_new(task, checkpoints)
    kept.save(run)
    write_batch(workdir, task.form)
    if start >= config.steps:
      print(
        f'{run.workdir} is finished, with {start} steps. For more: --steps.'
      )
      return state
    log = stack.enter_context(Log(workdir, start))
    batches = feed(
      task.source,
      task.mesh,
      config.seed,
      config.batch_size,
      range(start, config.steps),
      dispatched(config),
    )
    options = runtime.compiler_options()
    program = step_programs(task.gan, task.state, task.key, batches, options)
    describe(run, task, start, program)
    evaluate = config.evaluate_every and evaluator(run, task, log, stack)
    if start == 0:
      write_reals(run, task, log)
      write_samples(run, task, state, 0, log)
    progress = stack.enter_context(
      Progress(
        config.steps,
        start,
        batch_size=config.batch_size,
        unit=task.modality.unit,
      )
    )
    done, played, waiting, hurry = start, [], Stopwatch(), None
    while done < config.steps and not hurry:
      (moves,) = next_moves([task.gan], config, done)
      with waiting:
        inputs = batches.inputs(len(moves))
      state, metrics = program(moves)(state, batches.stored, inputs, task.key)
      played.append((len(moves), metrics))
      jax.block_until_ready(played[-2:][0])  # one ahead, no further
      done, hurry, losses = done + len(moves), stopped(), None
      last = done == config.steps or hurry
      if done % config.log_every == 0 or last:
        losses = write_metrics(log, done, played, waiting.share())
        played = []
      progress.update(done, losses)  # before what is no step takes its time
      if done % config.sample_every == 0 or last:
        write_samples(run, task, state, done, log)
      if processes.is_first() and (done % config.save_every == 0 or last):
        checkpoints.save(done, state)
      if evaluate and done % config.evaluate_every == 0:
        with progress.pausing():
          told = evaluate(done, state)
        progress.say(told)
    checkpoints.wait()
    progress.close()
    if done < config.steps:
      print(f'Stopped after step {done}; saved. To go on: the same command.')
      raise SystemExit(128 + hurry)
    print(f'Done. Samples: {sample_path(run, done)}')
    if remark := remarked(run, task, done):
      print(remark)
  return state


def restored_or_new(
  task: Task, checkpoints: Checkpoints
) -> tuple[int, jgan.TrainState]:
  """The step and the state to go on from, on every device."""
  everywhere = jgan.sharding.replicated(task.mesh)
  form = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), task.state)
  restored = None
  with processes.failing_together(), building():
    if processes.is_first():
      restored = checkpoints.restore(form)
  step, state = processes.from_first(restored or (-1, form))
  if step >= 0:
    return int(step), put(state, everywhere)
  make = jax.jit(
    functools.partial(first_state, task.gan, task.form),
    out_shardings=everywhere,
  )
  return 0, make(task.key)


def describe(
  run: configs.Run,
  task: Task,
  start: int,
  program: Callable[[Moves], jax.stages.Compiled],
) -> None:
  """Prints what will run; compiles the steps for it."""
  config, players = run.config, task.gan.players
  whole, left = (
    collections.Counter(
      jgan.moves(task.gan, step)
      for step in told_by(players, first, config.steps)
    )
    for first in (0, start)
  )
  epochs = config.steps * config.batch_size / len(task.source)
  print(
    f'{run.name}: {counted(config.steps, "step")} of '
    f'{counted(config.batch_size, "example")}, '
    f'{epochs:.4g} epochs of {len(task.source):,}'
  )
  for player in players:
    params = task.state.variables[player.name]['params']
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    turns = sum(n for moves, n in whole.items() if player.label in moves)
    share = turns / whole.total()
    turns = f', {share * config.steps:,.0f} moves' if share < 1 else ''
    print(f'  {player.label}: {size:,} parameters{turns}')
  flops = sum(
    n * program((moves,)).cost_analysis().get('flops', math.nan)
    for moves, n in left.items()
  )
  kind = jax.devices()[0].device_kind
  print(
    f'  {flops / left.total() / 1e9:.3g} GFLOP a step on each of '
    f'{task.mesh.size} {kind}'
  )
  if remark := remarked(run, task, config.steps):
    print(f'  {remark}')
  print(f'  workdir: {run.workdir}' + f', from step {start}' * bool(start))
  sys.stdout.flush()


def remarked(run: configs.Run, task: Task, steps: int) -> str:
  """What the experiment says of so many steps, by its `remark`, or nothing."""
  own = getattr(task.experiment, 'remark', None)
  return own(run.config, steps) if own else ''


def write_reals(run: configs.Run, task: Task, log: Log) -> None:
  """Examples to compare samples with: reals.png."""
  batch = data.batch(task.source, run.config.seed, 0, task.modality.count)
  shown = task.modality.reals(batch)
  modality.save(run.workdir / 'reals.png', shown)
  log.picture(0, 'reals', shown.picture)


def write_samples(
  run: configs.Run, task: Task, state: jgan.TrainState, done: int, log: Log
) -> None:
  """Samples of the same latents in every step."""
  generate = sampler.of(
    task.experiment, run.config, task.gan, processes.local(state)
  )
  asked = generate.conditions(task.modality.count)
  shown = task.modality.samples(generate.make(asked, run.config.seed), asked)
  modality.save(sample_path(run, done), shown)
  log.picture(done, 'samples', shown.picture)


def sample_path(run: configs.Run, done: int) -> Path:
  return run.workdir / 'samples' / f'{done:06}.png'


if __name__ == '__main__':
  main()
