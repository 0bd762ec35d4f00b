"""Scores of a run while it trains, and the best state so far: best/."""

import contextlib
import json
import math
from collections.abc import Callable, Mapping

import jgan
from experiments import config as configs
from experiments import processes, sampler, scoring
from experiments.checkpoints import Checkpoints
from experiments.errors import UserError, building
from experiments.files import write_json
from experiments.logs import Log
from experiments.sampler import Sampler, Samples
from experiments.task import Task

SCORED = 5000  # samples, and at most as many reals


def evaluator(
  run: configs.Run, task: Task, log: Log, stack: contextlib.ExitStack
) -> Callable[[int, jgan.TrainState], str]:
  """What scores the samples of a state, and keeps the best state in best/.

  Args:
    run: what and where.
    task: as built from it.
    log: where the scores go, as 'evaluation/<name>'.
    stack: closes the best checkpoint.

  Returns:
    `evaluate(done, state)`, which tells the score of `--best-by` in a line.
  """
  by, kept = run.config.best_by, run.workdir / 'best.json'
  sign = 1 if scoring.lower_is_better(task.experiment, by) else -1
  score, told_in = scorer(run, task)
  best = stack.enter_context(Checkpoints(run.workdir / 'best', keep=1))

  def evaluate(done, state):
    state_here = processes.local(state)
    found = score(sampler.of(task.experiment, run.config, task.gan, state_here))
    log.write(done, {f'evaluation/{k}': x.value for k, x in found.items()})
    value = found[by].value
    so_far = json.loads(kept.read_text()) if kept.exists() else {'step': 0}
    # A run that went back to an older checkpoint comes to its best again.
    better = done > so_far['step'] and sign * value < sign * so_far.get(
      by, sign * math.inf
    )
    if better:
      best.save(done, state)
      best.wait()
      write_json(kept, {'step': done, by: value, **told_in})
    in_features = ''.join(f' in features of {x}' for x in told_in.values())
    told = f'step {done}: {by} {value:.4g}{in_features}'
    return told + ', the best so far' * better

  return evaluate


def scorer(
  run: configs.Run, task: Task
) -> tuple[Callable[[Sampler], Mapping[str, scoring.Score]], Mapping[str, str]]:
  """What scores a sampler, and the name of the extractor if it has one."""
  experiment, seed = task.experiment, run.config.seed
  if own := getattr(experiment, 'score', None):
    return lambda generate: own(run.config, generate, SCORED, seed).scores, {}
  name = scoring.default_extractor(experiment)
  with building():
    extractor = scoring.EXTRACTORS[name]()
    reals = scoring.Pictures(f'data of {run.name}', task.source)
    reals = scoring.picked(reals, SCORED, seed)
    real = scoring.extract_cached(extractor, reals)
  by = run.config.evaluate_every and run.config.best_by
  if by == 'frechet_distance' and not scoring.has_covariance(real):
    count, features = real.features.shape
    raise UserError(
      f'--best-by={by} needs {features} pictures, as many as the extractor has '
      f'features; there are {count}. Give --best-by=kernel_distance.'
    )

  def score(generate):
    samples = scoring.Pictures('samples', Samples(generate, SCORED, seed))
    return scoring.scores(
      real, scoring.extract(extractor, samples), resamples=0
    )

  return score, {'extractor': extractor.name}
