"""Scores samples: `python -m experiments.evaluate --workdir=...`.

A score is a number with its protocol: which network's features, how pictures
came to its size, how many reals and fakes of what, from which params. So the
table that is printed, and evaluation.json, hold both, with an interval of 95%.

Pictures are decoded, or made, as they are needed, and memory is that of their
features. Two kinds lie in it whole: a run's own data, as in training, and
compressed npz files.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from experiments import config as configs
from experiments import data, kept, own_data, pictures, runtime, sample, train
from experiments.errors import UserError, building, reported
from experiments.extractors import Extractor
from experiments.files import write_json
from experiments.sampler import Sampler, Samples
from experiments.scoring import (
  EXTRACTORS,
  FEWEST,
  Features,
  Pictures,
  Score,
  default_extractor,
  extract,
  extract_cached,
  fewest,
  picked,
  scores,
)
from jgan import metrics


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """Scores of a run's samples, or of any pictures."""

  workdir: Annotated[str | None, tyro.conf.arg(metavar='DIR')] = None
  """a run, scored against its own data"""
  real: Annotated[str | None, tyro.conf.arg(metavar='FROM')] = None
  """folder, file.npz, or set:split of tfds"""
  fake: Annotated[str | None, tyro.conf.arg(metavar='FROM')] = None
  """folder, file.npz, or a run's workdir"""
  held_out: Annotated[str | None, tyro.conf.arg(metavar='FROM')] = None
  """reals not trained on: is data copied?"""
  data_dir: str = ''
  """of tfds; empty: its default"""
  extractor: Annotated[
    str | None, tyro.conf.arg(metavar='|'.join(EXTRACTORS))
  ] = None
  """whose features"""
  count: int = 10_000
  """most pictures of each kind"""
  seed: int = 0
  """decides the samples, and what is picked"""
  best: bool = False
  """the best of --evaluate-every, not the last"""
  resamples: int = 10
  """for the intervals"""
  classes: bool = False
  """also a distance for each class"""
  output: Annotated[str | None, tyro.conf.arg(metavar='DIR')] = None
  """for evaluation.json; by default the workdir"""


@reported()
def main(argv: Sequence[str] | None = None) -> None:
  """The command; `argv` in place of the words of the command line."""
  arguments = tyro.cli(
    Arguments, args=argv, prog='python -m experiments.evaluate'
  )
  runtime.prepare()
  with building():
    print(table(evaluate(arguments)))


def evaluate(arguments: Arguments) -> dict[str, Any]:
  """Scores as asked; writes evaluation.json, and pictures beside it.

  Returns:
    What evaluation.json holds: 'protocol' and 'scores', the latter by name
    with 'value', 'low' and 'high'.

  Raises:
    UserError, ValueError, OSError: what is asked for cannot be scored.
  """
  if bool(arguments.workdir) == bool(arguments.real and arguments.fake):
    raise UserError('give --workdir, or both --real and --fake')
  configs.check_seed(arguments.seed)
  if arguments.count < 1:
    raise UserError(f'--count must be 1 or more, got {arguments.count}')
  if arguments.resamples < 2 and arguments.resamples != 0:
    raise UserError(
      '--resamples must be 2 or more, or 0 for no intervals, got '
      f'{arguments.resamples}'
    )
  run = experiment = None
  if arguments.workdir:
    workdir = Path(arguments.workdir).expanduser()
    run = kept.load(workdir, train.EXPERIMENTS)
    experiment = train.EXPERIMENTS[run.name]
  output = Path(arguments.output or arguments.workdir or '.').expanduser()
  if hasattr(experiment, 'score'):
    report, shown = own_report(arguments, run, experiment)
    write_json(output / 'evaluation.json', report)
    for name, draw in shown.items():
      pictures.save_png(output / f'{name}.png', draw())
    return report
  name = arguments.extractor or default_extractor(experiment)
  if name not in EXTRACTORS:
    raise UserError(f'--extractor={name} is none of {", ".join(EXTRACTORS)}')
  real, fake, held_out = compared(arguments, run)
  labelled = all('label' in _first(each) for each in (real, fake))
  if arguments.classes and not labelled:
    raise UserError('--classes needs labels of reals and fakes')
  extractor = EXTRACTORS[name]()
  check_enough(extractor, real, fake, arguments.resamples)
  of_real, of_fake = extract_cached(extractor, real), extract(extractor, fake)
  of_held_out = held_out and extract_cached(extractor, held_out)
  found = scores(of_real, of_fake, of_held_out, resamples=arguments.resamples)
  if 'frechet_distance' not in found:
    print(
      'No Frechet distance: it needs as many pictures as features, '
      f'{of_real.features.shape[1]}; kernel_distance does with fewer.',
      file=sys.stderr,
    )
  if arguments.classes:
    found |= class_distances(of_real, of_fake)
  if extractor.counts_modes:
    found |= modes(of_fake)
  report = {
    'protocol': protocol(arguments, extractor, real, fake, held_out),
    'scores': finite(found),
  }
  image = neighbours(real, of_real, fake, of_fake)
  pictures.save_png(output / 'neighbours.png', image)
  write_json(output / 'evaluation.json', report)
  return report


def own_report(
  arguments: Arguments, run: configs.Run, experiment: ModuleType
) -> tuple[dict[str, Any], Mapping[str, Callable[[], np.ndarray]]]:
  """The report of an experiment that scores its samples, and its pictures."""
  for name in ('extractor', 'held_out', 'classes'):
    if getattr(arguments, name):
      flag = name.replace('_', '-')
      raise UserError(
        f'--{flag} is for pictures; {run.name} scores its samples in its own '
        'way'
      )
  count, seed, least = arguments.count, arguments.seed, fewest(experiment)
  if least > 1:
    own = len(experiment.make_data(run.config))
    if min(count, own) < least:
      raise UserError(
        f'the scores of {run.name} need {least} examples and as many samples, '
        f'or more; its data have {own}, and --count={count}'
      )
  generate = sample.load(arguments.workdir, arguments.best)
  found = experiment.score(run.config, generate, count, seed)
  report = {
    'protocol': {
      **found.protocol,
      'fake': told(arguments.workdir, generate),
      'seed': seed,
      'device': jax.devices()[0].device_kind,
      'jax': jax.__version__,
    },
    'scores': finite(found.scores),
  }
  return report, found.pictures


def finite(found: Mapping[str, Score]) -> dict[str, dict[str, float | None]]:
  """Scores for JSON, which has no NaN."""
  return {
    name: {k: v if np.isfinite(v) else None for k, v in x._asdict().items()}
    for name, x in found.items()
  }


def told(name: str, generate: Sampler) -> str:
  """Which state of which run is sampled from."""
  params = 'averaged' if generate.state.ema_params else 'live'
  return f'{name}, step {int(generate.state.step)}, {params} params'


def compared(
  arguments: Arguments, run: configs.Run | None
) -> tuple[Pictures, Pictures, Pictures | None]:
  """Reals, fakes and held-out reals, as the arguments name them."""
  if run is not None:
    source = train.EXPERIMENTS[run.name].make_data(run.config)
    real = Pictures(f'data of {run.name}', source)
    fake = load(arguments.workdir, arguments)
    shape = _shape(fake)
  else:
    fake = load(arguments.fake, arguments)
    shape = _shape(fake)
    real = load(arguments.real, arguments, shape[:2])
  held_out = arguments.held_out and unseen(arguments, run, shape[:2])
  real, fake, held_out = (
    each and picked(each, arguments.count, arguments.seed)
    for each in (real, fake, held_out)
  )
  for each in (real, held_out):
    if each and _shape(each) != shape:
      raise UserError(
        f'{each.name} has pictures of {list(_shape(each))} and {fake.name} of '
        f'{list(shape)}: height, width and channels must agree'
      )
  return real, fake, held_out or None


def check_enough(
  extractor: Extractor, real: Pictures, fake: Pictures, resamples: int
) -> None:
  """UserError: there are too few for the scores, or for those of halves."""
  halves = 2 if resamples else 1
  splits = 10 if extractor.has_classes else FEWEST  # of an inception score
  for each, least in ((real, FEWEST), (fake, splits)):
    if len(each.source) < halves * least:
      raise UserError(
        f'{each.name}: scores need at least {halves * least} pictures'
        + f' ({least} with --resamples=0)' * (halves > 1)
        + f', got {len(each.source)}; --count is the most that are taken'
      )


def unseen(
  arguments: Arguments, run: configs.Run | None, sides: tuple[int, int]
) -> Pictures:
  """The held-out pictures; a folder as the run reads its own, if it has one."""
  path = Path(arguments.held_out).expanduser()
  own = run is not None and isinstance(run.config, own_data.OfFolders)
  if not own or not path.is_dir() or (path / kept.FILE).is_file():
    return load(arguments.held_out, arguments, sides)
  config = dataclasses.replace(run.config, path=str(path), contents='')
  source = train.EXPERIMENTS[run.name].make_data(config)
  return Pictures(arguments.held_out, source)


def load(
  name: str, arguments: Arguments, sides: tuple[int, int] | None = None
) -> Pictures:
  """Pictures of a run's workdir, a folder, an npz file or a set of tfds.

  As in training, those of a set of tfds that are lower than `sides`, height and
  width, come to lie in the middle of black squares of that height, and those of
  a folder, where they differ in size, are cropped and resized to them.
  """
  path = Path(name).expanduser()
  if (path / kept.FILE).is_file():
    generate = sample.load(path, arguments.best)
    samples = Samples(generate, arguments.count, arguments.seed)
    return Pictures(told(name, generate), samples)
  if path.is_dir():
    return Pictures(name, data.folder_source(path, mixed=sides))
  if path.suffix == '.npz':
    return Pictures(name, data.npz_source(path))
  set_name, colon, split = name.partition(':')
  if not colon:
    raise UserError(
      f'{name} is no folder, no .npz file and no set:split of '
      'tensorflow-datasets, such as cifar10:test'
    )
  side = sides and sides[0]
  source = data.tfds_source(set_name, arguments.data_dir or None, split, side)
  return Pictures(name, source)


def protocol(
  arguments: Arguments,
  extractor: Extractor,
  real: Pictures,
  fake: Pictures,
  held_out: Pictures | None,
) -> dict[str, Any]:
  """All that another must know to compare a score with these."""
  halves = arguments.resamples
  return {
    'extractor': extractor.name,
    'weights_sha256': extractor.sha256,
    'resize': extractor.resize,
    'real': real.name,
    'real_count': len(real.source),
    'fake': fake.name,
    'fake_count': len(fake.source),
    'held_out': held_out and held_out.name,
    'held_out_count': held_out and len(held_out.source),
    'seed': arguments.seed,
    'interval': f'95%, of {halves} halves of the samples' if halves else None,
    'device': jax.devices()[0].device_kind,
    'jax': jax.__version__,
  }


def class_distances(
  of_real: Features, of_fake: Features
) -> Mapping[str, Score]:
  """The Frechet distance of each class, and their mean."""
  found = metrics.per_class(
    metrics.frechet_distance,
    of_real.features,
    of_real.label,
    of_fake.features,
    of_fake.label,
  )
  mean = float(np.mean(list(found.values())))
  return {'frechet_distance_of_classes': Score(mean)} | {
    f'frechet_distance_of_class_{label}': Score(value)
    for label, value in found.items()
  }


def modes(of_fake: Features) -> Mapping[str, Score]:
  """How many of the extractor's classes occur, and their KL from uniform."""
  classes = of_fake.probabilities.shape[-1]
  labels = of_fake.probabilities.argmax(-1)
  found = metrics.label_coverage(labels, classes)
  return {
    f'modes_of_{classes}': Score(found.modes),
    'modes_kl': Score(found.kl),
  }


def neighbours(
  real: Pictures, of_real: Features, fake: Pictures, of_fake: Features
) -> np.ndarray:
  """A grid of fakes that are nearest to a real, each with its three nearest."""
  found = metrics.nearest_neighbours(of_fake.features, of_real.features, k=3)
  order = np.argsort(found.distances[:, 0])
  closest = order[:10]
  label = of_fake.label
  if label is not None:  # the closest of each class, of ten at most
    first = [order[label[order] == x][0] for x in np.unique(label)[:10]]
    closest = np.array(first)
  rows = found.indices[closest].ravel()
  fakes, reals = (
    data.to_uint8(source[at]['image'])
    for source, at in ((fake.source, closest), (real.source, rows))
  )
  reals = reals.reshape(-1, 3, *fakes.shape[1:])
  shown = np.concatenate([fakes[:, None], reals], 1)
  return pictures.grid(shown.reshape(-1, *fakes.shape[1:]), columns=4)


def table(report: Mapping[str, Any]) -> str:
  """The report as text: scores, their intervals, then the protocol."""
  lines = []
  for name, x in report['scores'].items():
    value, low, high = (
      'none' if x[k] is None else f'{x[k]:.4g}' for k in Score._fields
    )
    interval = '' if x['low'] is None else f'   [{low}, {high}]'
    lines.append(f'{name:32} {value:>10}{interval}')
  lines += ['']
  lines += [
    f'{name:18} {value}'
    for name, value in report['protocol'].items()
    if value is not None
  ]
  return '\n'.join(lines)


def _first(of: Pictures) -> Mapping[str, np.ndarray]:
  return of.source[np.arange(1)]


def _shape(of: Pictures) -> tuple[int, ...]:
  """Height, width and channels."""
  return _first(of)['image'].shape[1:]


if __name__ == '__main__':
  main()
