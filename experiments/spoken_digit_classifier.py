"""Trains the classifier of spoken digits, in whose features they are scored.

  python -m experiments.spoken_digit_classifier --path=free-spoken-digits.tar.gz

What the package holds, the spoken_digit_classifier.npz beside this file, is
what the command makes of the Free Spoken Digit Dataset (CC BY-SA 4.0: six
speakers, fifty takes of each digit): 99.67% of the 300 recordings held out, the
takes 0 to 4 of each digit by each speaker, are right, after four minutes of CPU
time. The speakers are those that it learned from: of others not measured here.
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
from experiments.digit_classifier import rounded, save
from experiments.errors import UserError, building, reported
from experiments.logs import Progress
from jgan.metrics.spoken_digit_classifier import LENGTH, SpokenDigitClassifier

FILE = Path(__file__).with_suffix('.npz')
SHA256 = '09be5190ad1eb31eca036971df6fbe608c178b27ac36fa03281706652ff8ba6a'
_CHUNK = 100  # clips that pass the network at a time
_SHIFT = 2048  # samples by which a recording begins later
_NOISE = 0.03  # the highest deviation of noise, of clips of peak 1
_LOG_EVERY = 100  # steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Trains the classifier in whose features spoken digits are scored."""

  path: str = ''
  """folder or archive of recordings"""
  out: str = 'spoken_digit_classifier.npz'
  """file for the weights"""
  steps: int = 1500
  """steps of training"""
  batch_size: int = 64
  """recordings in a step"""
  learning_rate: float = 4e-3
  """AdamW's highest"""
  seed: int = 0
  """decides every random draw"""


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  arguments = tyro.cli(
    Arguments, args=argv, prog='python -m experiments.spoken_digit_classifier'
  )
  if min(arguments.steps, arguments.batch_size) < 1:
    raise UserError('--steps and --batch-size must be 1 or more')
  target = Path(os.path.expanduser(arguments.out))
  with building():
    learn, test = (
      data.spoken_digits(arguments.path, LENGTH, held_out)
      for held_out in (False, True)
    )
    _check_writable(target)
  print(f'{len(learn):,} recordings to learn, {len(test):,} to test')
  variables = rounded(train(learn, arguments))
  share = accuracy(variables, test)
  print(f'{share:.2%} of the {len(test):,} recordings to test are right')
  with building():
    content = save(target, variables)
  print(f'{target}: sha256 {hashlib.sha256(content).hexdigest()}')


def train(source: data.Arrays, arguments: Arguments) -> jgan.Variables:
  """A `SpokenDigitClassifier`'s variables, trained on 'sound' and 'label'."""
  steps, seed = arguments.steps, arguments.seed
  rate = optax.cosine_onecycle_schedule(steps, arguments.learning_rate, 0.2)
  optimizer = optax.adamw(rate, weight_decay=1e-2)
  init_key, step_key = jax.random.split(jax.random.key(seed))
  sound = jnp.zeros((1, LENGTH))
  variables = jax.jit(SpokenDigitClassifier().init)(init_key, sound)
  opt_state = optimizer.init(variables['params'])
  step = jax.jit(functools.partial(_step, optimizer))
  with Progress(steps, batch_size=arguments.batch_size) as progress:
    for i in range(steps):
      batch = data.batch(source, seed, i, arguments.batch_size)
      key = jax.random.fold_in(step_key, i)
      variables, opt_state, loss = step(variables, opt_state, batch, key)
      log = (i + 1) % _LOG_EVERY == 0
      progress.update(i + 1, {'cross entropy': float(loss)} if log else None)
  return variables


def _step(optimizer, variables, opt_state, batch, key):
  noise_key, dropout_key = (jax.random.fold_in(key, i) for i in range(2))
  sound = _varied(data.to_float(batch)['sound'][..., 0], noise_key)

  def objective(params):
    (_, logits), mutated = SpokenDigitClassifier().apply(
      {**variables, 'params': params},
      sound,
      train=True,
      mutable=['batch_stats'],
      rngs={'dropout': dropout_key},
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


def _varied(sound, key):
  """Recordings that begin later, in noise of a level of its own for each."""
  keys = [jax.random.fold_in(key, i) for i in range(3)]
  # One shift for all: as good as one each, and no gather. What it takes from
  # the end to the beginning is silence as a rule.
  sound = jnp.roll(sound, jax.random.randint(keys[0], (), 0, _SHIFT), 1)
  level = _NOISE * jax.random.uniform(keys[1], (len(sound), 1)) ** 3
  return sound + level * jax.random.normal(keys[2], sound.shape)


def accuracy(variables: jgan.Variables, source: data.Arrays) -> float:
  """The share of a source's recordings that are classified as labelled."""
  _, probabilities = features(variables, source.arrays['sound'])
  right = probabilities.argmax(-1) == source.arrays['label']
  return float(right.mean())


def features(
  variables: jgan.Variables, sound: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """What a classifier says of clips.

  Args:
    variables: of a `SpokenDigitClassifier`.
    sound: at 8 kHz, int16 `[n, length, 1]`. Of longer clips than the classifier
      hears it hears the loudest window, after shorter ones silence.

  Returns:
    Features `[n, d]` and the probabilities of the digits `[n, 10]`, float32.
  """
  heard = np.concatenate([data.loudest(x, LENGTH) for x in sound[..., 0]])
  found = []
  for start in range(0, len(heard), _CHUNK):
    chunk = heard[start : start + _CHUNK]
    missing = _CHUNK - len(chunk)
    # Whole chunks, so that one compiled program serves all.
    made = _apply(variables, np.pad(chunk, ((0, missing), (0, 0))))
    found.append([np.asarray(x)[: len(chunk)] for x in made])
  return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


@jax.jit
def _apply(variables, sound):
  sound = data.to_float({'sound': sound})['sound']
  of_each, logits = SpokenDigitClassifier().apply(variables, sound)
  return of_each, jax.nn.softmax(logits)


def _check_writable(target: Path) -> None:
  """Before the training: a UserError after it would come late."""
  target.parent.mkdir(parents=True, exist_ok=True)
  tempfile.TemporaryFile(dir=target.parent).close()
  if target.is_dir():
    raise UserError(f'--out={target} is a folder, and a file is needed')


def packaged() -> jgan.Variables:
  """The variables in the package's own file.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is damaged.
  """
  content = FILE.read_bytes()
  sha256 = hashlib.sha256(content).hexdigest()
  if sha256 != SHA256:
    raise ValueError(
      f'spoken digit classifier: {FILE} is damaged: its sha256 is {sha256}, '
      f'and {SHA256} is needed. Install jgan anew.'
    )
  return load(content)


def load(content: bytes) -> jgan.Variables:
  """The variables in an npz that the command wrote, float32.

  Raises:
    ValueError: it holds something else.
  """
  sound = jnp.zeros((1, LENGTH))
  form = jax.eval_shape(SpokenDigitClassifier().init, jax.random.key(0), sound)
  needed = flax.traverse_util.flatten_dict(form, sep='/')
  try:
    with np.load(io.BytesIO(content)) as file:
      flat = {name: array.astype(np.float32) for name, array in file.items()}
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(
      'spoken digit classifier: the weights are not an npz that '
      f'experiments.spoken_digit_classifier writes ({error}).'
    ) from error
  if {k: v.shape for k, v in flat.items()} != {
    k: v.shape for k, v in needed.items()
  }:
    raise ValueError(
      'spoken digit classifier: the npz holds other arrays than the '
      f'{len(needed)} of a SpokenDigitClassifier: {", ".join(sorted(flat))}.'
    )
  return flax.traverse_util.unflatten_dict(flat, sep='/')


if __name__ == '__main__':
  main()
