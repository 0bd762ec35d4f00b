"""What a run is built of: its GAN, data and devices, all checked."""

import functools
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jgan
from experiments import config as configs
from experiments import data, modality, own_data, scoring
from experiments.dispatch import in_less_memory
from experiments.errors import UserError, building


class Task(NamedTuple):
  """All that the loop needs, built and checked before a file is written."""

  experiment: ModuleType
  gan: jgan.GAN
  source: data.Source
  modality: modality.Modality
  mesh: jax.sharding.Mesh
  key: jax.Array  # the run's
  form: jgan.Batch  # shapes of a batch, as the source gives it
  state: jgan.TrainState  # its shapes and shardings


def build(run: configs.Run, experiment: ModuleType) -> Task:
  """Makes the GAN and its data. UserError: they cannot be, or do not fit."""
  own_data.check_apart(run)
  config = run.config
  mesh = jgan.sharding.data_mesh(jax.devices())
  if config.batch_size % mesh.size:
    raise UserError(
      f'--batch-size={config.batch_size} does not divide over the {mesh.size} '
      'devices'
    )
  if config.batch_size % (parts := mesh.size * config.microbatches):
    raise UserError(
      f'--batch-size={config.batch_size} does not divide into '
      f'--microbatches={config.microbatches} on each of {mesh.size} devices: '
      f'it must be a multiple of {parts}'
    )
  known = scoring.names(experiment)
  if config.best_by not in known:
    raise UserError(f'--best-by={config.best_by} is none of {", ".join(known)}')
  everywhere = jgan.sharding.replicated(mesh)
  key = jax.jit(jax.random.key, out_shardings=everywhere)(config.seed)
  with building():
    gan = in_less_memory(experiment.make_gan(config), config)
    source = experiment.make_data(config)
    batch = data.batch(source, config.seed, 0, config.batch_size)
    shown = modality.of(experiment, config, batch)
    form = jax.eval_shape(lambda: batch)
    state = jax.eval_shape(functools.partial(first_state, gan, form), key)
  check_labels(run, source, batch)
  state = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
    state,
  )
  task = Task(experiment, gan, source, shown, mesh, key, form, state)
  if config.evaluate_every:
    check_enough(run, task)
  return task


def check_labels(
  run: configs.Run, source: data.Source, batch: jgan.Batch
) -> None:
  """UserError: labels that a model of so many classes takes for no class.

  Of a source in memory all labels are looked at, of others the first batch's.
  """
  classes = getattr(run.config, 'num_classes', 0)
  arrays = getattr(source, 'arrays', None)
  known = arrays if isinstance(arrays, Mapping) and 'label' in arrays else batch
  if not classes or 'label' not in known:
    return
  low, high = np.min(known['label']), np.max(known['label'])
  if low < 0 or high >= classes:
    raise UserError(
      f'--num-classes={classes} needs labels from 0 to {classes - 1}, but the '
      f'data of {run.name} have {low} to {high}; give --num-classes={high + 1}'
    )


def check_enough(run: configs.Run, task: Task) -> None:
  """UserError: the data have fewer examples than the run's scores need."""
  fewest, unit = scoring.fewest(task.experiment), task.modality.unit
  if len(task.source) < fewest:
    raise UserError(
      f'the scores of {run.name} need {fewest} {unit} or more, and its data '
      f'have {len(task.source)}. Give more, or train without scores: by '
      'experiments.train with --evaluate-every=0'
    )


def first_state(
  gan: jgan.GAN, form: jgan.Batch, key: jax.Array
) -> jgan.TrainState:
  """The state before the first step, of batches of this form."""
  batch = {name: jnp.zeros(x.shape, x.dtype) for name, x in form.items()}
  return jgan.init(gan, key, data.to_float(batch))
