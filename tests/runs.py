"""Small runs of the training command, and what they leave behind."""

import json

from experiments import kept, train
from experiments import task as tasks
from experiments.checkpoints import Checkpoints

# Flags of digits, beside how often it shows and saves.
SMALL = (
  '--width=4',
  '--latent-dim=4',
  '--batch-size=8',
  '--log-every=2',
)


def lines(workdir):
  """The metrics that a run repeats; what it waited is of the machine."""
  text = (workdir / 'metrics.jsonl').read_text()
  told = [json.loads(line) for line in text.splitlines()]
  assert all(0 <= line.pop('input_wait') <= 1 for line in told)
  return told


def built(run):
  """What the command trains for this run."""
  return tasks.build(run, train.EXPERIMENTS[run.name])


def newest(workdir):
  """The step and the state of the newest checkpoint."""
  task = built(kept.load(workdir, train.EXPERIMENTS))
  with Checkpoints(workdir / 'checkpoints') as checkpoints:
    return checkpoints.restore(task.state)
