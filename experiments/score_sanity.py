"""Scores known faults: `python -m experiments.score_sanity --data-dir=...`.

A score vouches only for faults that it reacts to. So held-out real pictures are
spoilt in known ways, and scored against the pictures of training as a
generator's samples would be. docs/scores.md has the tables, and their lessons.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import numpy as np
import tyro
from scipy import ndimage
from tqdm import tqdm

from experiments import data, pages, runtime, scoring
from experiments.errors import UserError, building, reported
from experiments.extractors import Extractor
from experiments.files import write_json
from experiments.scoring import EXTRACTORS, Pictures

Rows = Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Scores real pictures that are spoilt in known ways."""

  data_dir: str = ''
  """of tfds; empty: its default"""
  set: str = 'mnist'
  """of tfds, with labels, train and test"""
  extractor: Annotated[str, tyro.conf.arg(metavar='|'.join(EXTRACTORS))] = (
    'digits'
  )
  """whose features"""
  count: int = 10_000
  """reals, held-out reals, and fakes in a row"""
  seed: int = 0
  """decides which pictures"""
  output: Annotated[str | None, tyro.conf.arg(metavar='FILE')] = None
  """also the numbers, as JSON"""


class Pool(NamedTuple):
  """Labelled pictures, and the positions of those that play a part."""

  image: np.ndarray  # uint8 [n, height, width, channels]
  label: np.ndarray  # int32 [n]
  real: np.ndarray  # pictures of train, to score against
  spare: np.ndarray  # what fakes are made of, pictures of test first
  held_out: np.ndarray  # pictures that are neither


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  prog = 'python -m experiments.score_sanity'
  asked = tyro.cli(Arguments, args=argv, prog=prog)
  if (name := asked.extractor) not in EXTRACTORS:
    raise UserError(f'--extractor={name} is none of {", ".join(EXTRACTORS)}')
  runtime.prepare()
  with building():
    splits = [
      data.tfds_images(asked.set, asked.data_dir, split)
      for split in ('train', 'test')
    ]
    extractor = EXTRACTORS[asked.extractor]()
    rows = measured(pool(splits, asked.count, asked.seed), extractor)
    protocol = (
      f'{asked.set}, {asked.count:,} reals, fakes and held out, seed '
      f'{asked.seed}; {extractor.name}, sha256 of its weights '
      f'{extractor.sha256}, {extractor.resize}; jax {jax.__version__}'
    )
    print(f'{table(rows)}\n\n{protocol}')
    if asked.output:
      content = {'protocol': protocol, 'rows': rows}
      write_json(Path(asked.output).expanduser(), content)


def pool(splits: Sequence[data.Arrays], count: int, seed: int = 0) -> Pool:
  """Draws the parts that the pictures of train and test play, `count` each.

  Raises:
    ValueError: there are no labels, or too few pictures.
  """
  first, total = len(splits[0]), sum(map(len, splits))
  if any('label' not in split.arrays for split in splits):
    raise ValueError('score sanity: needs a set with labels.')
  if not 1 <= count <= min(first, total // 3):
    raise ValueError(
      f'score sanity: a count of {count} needs as many pictures of train, and '
      f'three times as many with those of test, got {first} and {total}.'
    )
  rng = np.random.default_rng(seed)
  order = rng.permutation(first)
  # Train fills up where test has too few, of one class say.
  others = first + rng.permutation(total - first), order[count:]
  spare, held_out = np.split(np.concatenate(others), [-count])
  image = np.concatenate([split.arrays['image'] for split in splits])
  label = np.concatenate([split.arrays['label'] for split in splits])
  return Pool(image, label, order[:count], spare, held_out)


def selections(pool: Pool) -> dict[str, np.ndarray]:
  """Fakes that are pictures of the pool as they are: their positions."""
  count, spare, label = len(pool.real), pool.spare, pool.label[pool.spare]
  clean, classes = spare[:count], label.max() + 1
  found = {'none': clean}
  for dropped in (x for x in (1, 3, 5, 9) if x < classes):
    kept = spare[label < classes - dropped][:count]
    found[f'{dropped} of {classes} classes dropped'] = kept
  others = spare[label > 0][:count]
  found['30% of one class'] = replaced(others, spare[label == 0], 0.3)
  for share in (0.1, 0.5, 1):
    found[f'{share:.0%} copied'] = replaced(clean, pool.real, share)
  for n in (500, 50, 5):
    found[f'{n} copied, repeated'] = np.resize(pool.real[:n], count)
  one = np.resize(clean[-1:], count)
  for share in (0.1, 0.5):
    found[f'{share:.0%} one picture'] = replaced(clean, one, share)
  return found


def replaced(rows: np.ndarray, by: np.ndarray, share: float) -> np.ndarray:
  """Rows of which the first `share` is replaced by the first of others."""
  by = by[: round(share * len(rows))]
  return np.concatenate([by, rows[len(by) :]])


def altered(pool: Pool) -> dict[str, np.ndarray]:
  """Fakes that are pictures of the pool with other pixels, uint8."""
  real, clean = pool.image[pool.real], pool.image[pool.spare[: len(pool.real)]]
  noise = {f'noise of {x} levels': noisy(clean, x) for x in (8, 32, 128)}
  blur = {f'blur of {x} pixels': blurred(clean, x) for x in (0.5, 1, 2)}
  return noise | blur | {'100% copied, noise of 8 levels': noisy(real, 8)}


def noisy(images: np.ndarray, std: float) -> np.ndarray:
  """Pictures plus Gaussian noise, its deviation in levels of 255."""
  noise = np.random.default_rng(0).standard_normal(images.shape, np.float32)
  return np.clip(np.rint(images + std * noise), 0, 255).astype(np.uint8)


def blurred(images: np.ndarray, std: float) -> np.ndarray:
  """Pictures after a Gaussian filter, its deviation in pixels."""
  smooth = ndimage.gaussian_filter(np.float32(images), (0, std, std, 0))
  return np.rint(smooth).astype(np.uint8)


def measured(pool: Pool, extractor: Extractor, resamples: int = 10) -> Rows:
  """The scores of every kind of fakes, and the interval of the clean ones."""
  reals = {'real': pool.real, 'held out': pool.held_out}
  parts = _features(extractor, pool, reals | selections(pool))
  real, held_out = parts.pop('real'), parts.pop('held out')
  fakes = {'none': parts.pop('none')}
  for name, images in altered(pool).items():
    source = data.Arrays({'image': images})
    fakes[name] = scoring.extract(extractor, Pictures(name, source))
  rows = {}
  for name, fake in tqdm((fakes | parts).items(), disable=None, leave=False):
    resamples = 0 if rows else resamples
    found = scoring.scores(real, fake, held_out, resamples=resamples)
    rows[name] = {'fakes': len(fake.features)}
    rows[name] |= {k: score.value for k, score in found.items()}
    spread = {k: x.high - x.value for k, x in found.items() if x.high >= x.low}
    if spread:
      rows['95% interval, +-'] = spread
  return rows


def _features(extractor, pool, positions) -> dict[str, scoring.Features]:
  """Of pictures at positions, by name; each is extracted once."""
  every = np.concatenate(list(positions.values()))
  used, rows = np.unique(every, return_inverse=True)
  source = data.Rows(data.Arrays({'image': pool.image}), used)
  made = scoring.extract(extractor, Pictures('reals', source))
  ends = np.cumsum([len(x) for x in positions.values()])[:-1]
  parts = zip(positions, np.split(rows, ends), strict=True)
  return {k: made.at(i) for k, i in parts}


def table(rows: Rows) -> str:
  """The scores in Markdown, a row for each kind of fakes."""
  names = list(rows['none'])
  lines = [
    [fault, *(_cell(row[name]) if name in row else '' for name in names)]
    for fault, row in rows.items()
  ]
  return pages.table(['fault', *names], lines).replace('_', ' ')


def _cell(x: float) -> str:
  # Rounded, so that the 1e-14 of exact copies is the 0 that it stands for.
  return f'{round(x, 6):.4g}' if isinstance(x, float) else f'{x:,}'


if __name__ == '__main__':
  main()
