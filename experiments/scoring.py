"""From pictures to scores with their protocol: for evaluation and training."""

import functools
import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from experiments import extractors
from experiments.extractors import Extractor
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
_CHUNK = 100  # pictures that pass the network at a time


def default_extractor(experiment: ModuleType | None) -> str:
  """The experiment's own; else Inception, or what a CPU does in minutes."""
  if own := getattr(experiment, 'EXTRACTOR', None):
    return own
  return 'efficientnet' if jax.default_backend() == 'cpu' else 'inception'


class Pictures(NamedTuple):
  """Pictures to score, and what the protocol calls them.

  Attributes:
    name: where they come from.
    image: uint8 `[n, height, width, 1 or 3]`.
    label: int32 `[n]`, or None.
  """

  name: str
  image: np.ndarray
  label: np.ndarray | None = None


class Features(NamedTuple):
  """What an extractor says of pictures.

  Attributes:
    features: float32 `[n, d]`.
    probabilities: of its classes, float32 `[n, classes]`, or None.
  """

  features: np.ndarray
  probabilities: np.ndarray | None


class Score(NamedTuple):
  """A score, and its interval of 95%; NaN where it has none."""

  value: float
  low: float = np.nan
  high: float = np.nan


def picked(pictures: Pictures, count: int, seed: int) -> Pictures:
  """At most `count` of the pictures, drawn without replacement."""
  if len(pictures.image) <= count:
    return pictures
  rows = np.random.default_rng(seed).permutation(len(pictures.image))[:count]
  rows.sort()
  label = None if pictures.label is None else pictures.label[rows]
  return Pictures(pictures.name, pictures.image[rows], label)


def extract(extractor: Extractor, pictures: Pictures) -> Features:
  """The features of pictures, with a progress bar on a terminal.

  Raises:
    ValueError: the pictures do not suit the extractor.
  """
  images, parts = pictures.image, []
  bar = tqdm(
    total=len(images),
    desc=f'{extractor.name} of {pictures.name}',
    disable=None,
    leave=False,
  )
  with bar:
    for start in range(0, len(images), _CHUNK):
      chunk = images[start : start + _CHUNK]
      missing = _CHUNK - len(chunk)
      # Whole chunks, so that one compiled program serves all.
      whole = np.pad(chunk, [(0, missing), *[(0, 0)] * 3], mode='edge')
      made = jax.device_get(extractor.features(whole))
      parts.append([x if x is None else x[: len(chunk)] for x in made])
      bar.update(len(chunk))
  features, probabilities = zip(*parts, strict=True)
  return Features(
    np.concatenate(features),
    np.concatenate(probabilities) if extractor.has_classes else None,
  )


def extract_cached(extractor: Extractor, pictures: Pictures) -> Features:
  """`extract`, kept in the user's cache by the content of the pictures."""
  digest = hashlib.sha256(np.ascontiguousarray(pictures.image))
  protocol = extractor.name, extractor.sha256, extractor.resize
  digest.update(repr((pictures.image.shape, protocol)).encode())
  caches = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
  path = Path(caches, 'jgan', 'features', f'{digest.hexdigest()}.npz')
  if path.is_file():
    try:
      with np.load(path) as stored:
        return Features(stored['features'], stored.get('probabilities'))
    except (OSError, ValueError, KeyError) as error:
      print(f'{path} is damaged ({error}); made anew', file=sys.stderr)
  made = extract(extractor, pictures)
  kept = {k: v for k, v in made._asdict().items() if v is not None}
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f'.{path.name}.{os.getpid()}')
  with part.open('wb') as file:
    np.savez(file, **kept)
  os.replace(part, path)
  return made


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
    By name: 'frechet_distance', 'kernel_distance', 'precision', 'recall',
    'density', 'coverage', with classes 'inception_score', and with held-out
    reals 'memorisation_ratio', 'memorisation_share' and 'memorisation_z'.

  Raises:
    ValueError: there are too few samples, or features that are not finite.
  """
  sizes = len(real.features), len(fake.features)
  subset = min(1000, *(size // 2 for size in sizes))  # halves have as many
  sets = real.features, fake.features
  # A covariance needs as many samples as dimensions, also of halves.
  enough = min(sizes) // 2 >= real.features.shape[1]
  found = _with_interval(
    'frechet_distance',
    metrics.frechet_distance,
    *sets,
    resamples=resamples if enough else 0,
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
