"""From pictures to scores with their protocol: for evaluation and training.

Pictures are read, or made, a chunk at a time, and none is kept. Their features
are, since precision, recall, density, coverage and nearest neighbours compare
all with all: 4 bytes for each dimension and class, 8 KiB a picture of Inception
(2048 and none).
"""

import functools
import hashlib
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from experiments import data, extractors
from experiments.extractors import Extractor
from experiments.files import replacing
from jgan import metrics

EXTRACTORS: Mapping[str, Callable[[], Extractor]] = {
  'inception': extractors.inception,
  'inception-clean': functools.partial(extractors.inception, clean=True),
  'efficientnet': extractors.efficientnet,
  'digits': extractors.digits_classifier,
  'stacked-digits': extractors.stacked_digits_classifier,
}
LOWER_IS_BETTER = ('frechet_distance', 'kernel_distance')
HIGHER_IS_BETTER = (
  'inception_score',
  'precision',
  'recall',
  'density',
  'coverage',
)
FEWEST = 6  # pictures: each with the five neighbours of the coverage
CHUNK = 100  # pictures that pass the network at a time
_DAMAGED = OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile


def default_extractor(experiment: ModuleType | None) -> str:
  """The experiment's own; else Inception, or what a CPU does in minutes."""
  if own := getattr(experiment, 'EXTRACTOR', None):
    return own
  return 'efficientnet' if jax.default_backend() == 'cpu' else 'inception'


def names(experiment: Any) -> tuple[str, ...]:
  """The scores that `--best-by` can name: the experiment's own if it has."""
  if hasattr(experiment, 'score'):
    return (*experiment.LOWER_IS_BETTER, *experiment.HIGHER_IS_BETTER)
  return (*LOWER_IS_BETTER, *HIGHER_IS_BETTER)


def lower_is_better(experiment: Any, name: str) -> bool:
  """Whether a lower score of this name is the better one."""
  if hasattr(experiment, 'score'):
    return name in experiment.LOWER_IS_BETTER
  return name in LOWER_IS_BETTER


def fewest(experiment: Any) -> int:
  """How many examples the data need for the scores: its own FEWEST if any."""
  if hasattr(experiment, 'score'):
    return getattr(experiment, 'FEWEST', 1)
  return FEWEST


class Pictures(NamedTuple):
  """Pictures to score, and what the protocol calls them.

  Attributes:
    name: where they come from.
    source: of 'image', uint8 or uint16 `[n, height, width, 1 or 3]`, and
      perhaps of 'label' `[n]`.
  """

  name: str
  source: data.Source


class Features(NamedTuple):
  """What an extractor says of pictures.

  Attributes:
    features: float32 `[n, d]`.
    probabilities: of its classes, float32 `[n, classes]`, or None.
    label: what the pictures' source says of them, `[n]`, or None.
    protocol: the extractor's name, the sha256 of its weights, and its resize.
  """

  features: np.ndarray
  probabilities: np.ndarray | None
  label: np.ndarray | None
  protocol: tuple[str, str, str]

  def at(self, rows: np.ndarray) -> 'Features':
    """Those of some of the pictures."""
    *arrays, protocol = self
    return Features(*(x if x is None else x[rows] for x in arrays), protocol)


class Score(NamedTuple):
  """A score, and its interval of 95%; NaN where it has none."""

  value: float
  low: float = np.nan
  high: float = np.nan


class Report(NamedTuple):
  """Scores by name, and what another must know to compare them with others.

  What an experiment returns whose samples are not scored as pictures, from
  `score(config, generate, count, seed)`: `generate` is a `Sampler`, `count` the
  most samples to make of it. Beside it stand in the experiment's file
  LOWER_IS_BETTER and HIGHER_IS_BETTER, the names of scores for `--best-by`, and
  perhaps FEWEST, the examples that they need of the data.

  Attributes:
    scores: the field's own.
    protocol: of what, how many, by which networks with which weights.
    pictures: what evaluation leaves as `<name>.png` beside evaluation.json;
      drawn only there, not while training.
  """

  scores: Mapping[str, Score]
  protocol: Mapping[str, Any]
  pictures: Mapping[str, Callable[[], np.ndarray]] = {}


def picked(pictures: Pictures, count: int, seed: int) -> Pictures:
  """At most `count` of the pictures, drawn without replacement."""
  size = len(pictures.source)
  if size <= count:
    return pictures
  rows = np.sort(np.random.default_rng(seed).permutation(size)[:count])
  return pictures._replace(source=data.Rows(pictures.source, rows))


def extract(extractor: Extractor, pictures: Pictures) -> Features:
  """The features of pictures, with a progress bar on a terminal.

  Raises:
    ValueError: the pictures do not suit the extractor, or cannot be read.
  """
  size, done, arrays = len(pictures.source), 0, {}
  bar = tqdm(
    total=size,
    desc=f'{extractor.name} of {pictures.name}',
    disable=None,
    leave=False,
  )
  with bar:
    for part in _one_behind(extractor, _chunks(pictures.source)):
      stop = done + len(part['features'])
      for name, values in part.items():
        if name not in arrays:
          arrays[name] = np.empty((size, *values.shape[1:]), values.dtype)
        arrays[name][done:stop] = values
      bar.update(stop - done)
      done = stop
  return _features(extractor, arrays, arrays.get('label'))


def extract_cached(extractor: Extractor, pictures: Pictures) -> Features:
  """`extract`, kept in the user's cache by the content of the pictures.

  They are read once to know them, and a second time where they are new. Where
  the cache cannot be written, a line on stderr says so.
  """
  digest, label = _known_by(extractor, pictures.source)
  caches = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
  path = Path(caches, 'jgan', 'features', f'{digest}.npz')
  if os.path.isfile(path):
    try:
      with path.open('rb') as file, np.load(file) as stored:
        return _features(extractor, stored, label)
    except _DAMAGED as error:
      print(f'{path} is damaged ({error}); made anew', file=sys.stderr)
  made = extract(extractor, pictures)
  kept = {name: getattr(made, name) for name in ('features', 'probabilities')}
  try:
    with replacing(path) as part, part.open('wb') as file:
      np.savez(file, **{k: v for k, v in kept.items() if v is not None})
  except OSError as error:
    print(
      f'features are not kept for the next time: {path.parent} cannot be '
      f'written to ({error}); XDG_CACHE_HOME names another folder',
      file=sys.stderr,
    )
  return made


def _chunks(source: data.Source) -> Iterator[Mapping[str, np.ndarray]]:
  for start in range(0, len(source), CHUNK):
    yield source[np.arange(start, min(start + CHUNK, len(source)))]


def _one_behind(
  extractor: Extractor, chunks: Iterator[Mapping[str, np.ndarray]]
) -> Iterator[dict[str, np.ndarray]]:
  """What the extractor says of chunks, and their labels.

  A chunk is fetched when the next is on its way, so that pictures are read
  while the network runs.
  """
  running = []
  for chunk in chunks:
    running.append(_started(extractor, chunk))
    if len(running) > 1:
      yield _fetched(*running.pop(0))
  yield _fetched(*running.pop())


def _started(extractor, chunk):
  """The number of pictures in a chunk, and arrays that may not be made yet."""
  image, label = chunk['image'], chunk.get('label')
  missing = CHUNK - len(image)
  # Whole chunks, so that one compiled program serves all.
  whole = np.pad(image, [(0, missing), *[(0, 0)] * 3], mode='edge')
  features, probabilities = extractor.features(whole)
  arrays = {'features': features, 'probabilities': probabilities}
  return len(image), {**arrays, 'label': label}


def _fetched(count, arrays):
  made = jax.device_get({k: x for k, x in arrays.items() if x is not None})
  return {name: x[:count] for name, x in made.items()}


def _known_by(
  extractor: Extractor, source: data.Source
) -> tuple[str, np.ndarray | None]:
  """A digest of pictures and of the extractor; and the pictures' labels."""
  digest, labels, shape = hashlib.sha256(), [], ()
  for chunk in _chunks(source):
    digest.update(np.ascontiguousarray(chunk['image']))
    labels.append(chunk.get('label'))
    shape = chunk['image'].shape[1:]
  protocol = _protocol(extractor)
  digest.update(repr(((len(source), *shape), protocol)).encode())
  label = None if labels[0] is None else np.concatenate(labels)
  return digest.hexdigest(), label


def _protocol(extractor):
  return extractor.name, extractor.sha256, extractor.resize


def _features(extractor, arrays, label):
  return Features(
    arrays['features'], arrays.get('probabilities'), label, _protocol(extractor)
  )


def scores(
  real: Features,
  fake: Features,
  held_out: Features | None = None,
  *,
  resamples: int = 10,
) -> dict[str, Score]:
  """Every score of the fakes that the features allow.

  Args:
    real: of what the generator was trained on.
    fake: of its samples.
    held_out: of reals that it was not trained on, for the memorisation check.
    resamples: halves of the samples for each interval; 0 for no intervals.

  Returns:
    By name: 'kernel_distance', 'precision', 'recall', 'density', 'coverage', of
    enough of both (`has_covariance`) 'frechet_distance', with classes
    'inception_score', and with held-out reals 'memorisation_ratio',
    'memorisation_share' and 'memorisation_z'.

  Raises:
    ValueError: there are too few samples, features that are not finite, or
      features of different extractors.
  """
  _check_same(real, fake, *([] if held_out is None else [held_out]))
  sizes = len(real.features), len(fake.features)
  subset = min(1000, *(size // 2 for size in sizes))  # halves have as many
  sets = real.features, fake.features
  found = {}
  if has_covariance(real) and has_covariance(fake):
    halves = min(sizes) // 2 >= real.features.shape[1]  # have one too
    found |= _with_interval(
      'frechet_distance',
      metrics.frechet_distance,
      *sets,
      resamples=resamples if halves else 0,
    )
  found |= _with_interval(
    'kernel_distance',
    lambda *x: metrics.kernel_distance(*x, subset_size=subset).mean,
    *sets,
    resamples=resamples,
  )
  if fake.probabilities is not None:
    found |= _with_interval(
      'inception_score',
      lambda p: metrics.inception_score(p).mean,
      fake.probabilities,
      resamples=resamples,
    )
  for score in (metrics.precision_recall, metrics.density_coverage):
    found |= _with_interval('', score, *sets, resamples=resamples)
  if held_out is not None:
    found |= _with_interval(
      'memorisation_',
      lambda f, h: metrics.memorisation(f, real.features, h),
      fake.features,
      held_out.features,
      resamples=resamples,
    )
  return found


def has_covariance(of: Features) -> bool:
  """Whether they are as many as dimensions, as the Frechet distance needs."""
  count, dimensions = of.features.shape
  return count >= dimensions


def _check_same(*sets: Features) -> None:
  """ValueError: not all are of one extractor."""
  told = [', '.join(features.protocol) for features in sets]
  if len(set(told)) > 1:
    raise ValueError(
      'scores: needs features of one extractor, of the same weights and '
      f'resize, got {" and ".join(dict.fromkeys(told))}.'
    )


def _with_interval(
  name: str, score: Callable[..., Any], *sets: np.ndarray, resamples: int
) -> dict[str, Score]:
  """A score, or each field of one, by name."""
  whole = score(*sets)
  named = whole._asdict() if hasattr(whole, '_asdict') else {'': whole}
  intervals = dict.fromkeys(named, ())
  if resamples:
    made = metrics.half_samples(score, *sets, resamples=resamples)
    intervals = made._asdict() if hasattr(whole, '_asdict') else {'': made}
  return {
    name + field: Score(float(value), *intervals[field])
    for field, value in named.items()
  }
