"""TimeGAN (Yoon et al., 2019) on your own time series: a CSV file of numbers.

One row for each step of time, one column for each number (--columns chooses
some by name); the first line may name them, and gzip may have compressed all.
A run learns from every window of --window rows, and writes samples in the units
of the file: a picture of lines beside those of the data, and a CSV of them.

  python -m experiments.train series --workdir=runs/mine --path=mine.csv
  python -m experiments.evaluate --workdir=runs/mine
  python -m experiments.sample --workdir=runs/mine --count=1000 --files=made/

The scores are the discriminative and the predictive one of the paper, and a
distance of autocorrelations; beside them the same of the data itself and of a
normal distribution that has the data's means and covariances. Measured on the
stocks of the paper: see stocks-timegan.
"""

import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import stdtrit

import jgan
from experiments import data, own_data, plots
from experiments.errors import counted
from experiments.modality import Modality, Shown
from experiments.sampler import Sampler
from experiments.scoring import Report, Score
from jgan import metrics

LOWER_IS_BETTER = (
  'discriminative_score',
  'predictive_score',
  'autocorrelation_distance',
)
HIGHER_IS_BETTER = ()
_SEEDS = 5  # trainings for each of the first two scores
_DISCRIMINATIVE_STEPS, _PREDICTIVE_STEPS = 2000, 5000  # of each, as published
FEWEST = 4  # windows, so that each half has some to learn from and to test
_SHOWN = 16  # windows
_COLUMNS = 8  # shown, of wider data
_CHUNK = 100  # draws of the normal distribution at a time
_POINTS = 1000  # of each kind in the pictures of points, as in the paper's code


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(own_data.OfFile):
  """What every experiment on time series has."""

  best_by: str = 'discriminative_score'
  """the score for best/"""
  path: str = ''
  """CSV file of numbers, or its gzip"""
  window: int = 24
  """rows of a series"""
  columns: tuple[str, ...] = ()
  """some by name; by default all"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Data):
  """The numbers worth changing; a docstring is help also where overridden."""

  steps: int = 30_000
  batch_size: int = 128
  sample_every: int = 1000
  save_every: int = 1000
  embedding_steps: int = 5000
  """of the autoencoder alone, first"""
  supervised_steps: int = 5000
  """of the supervisor alone, then"""
  hidden: int = 24
  """units of a layer"""
  layers: int = 3
  """of each network"""
  supervised_weight: float = 100.0
  """of what the supervisor misses"""
  moments_weight: float = 100.0
  """of means and deviations"""
  generator_moves: int = 2
  """for one of the discriminator"""
  learning_rate: float = 1e-3
  """Adam's, of all players"""
  ema_decay: float = 0.999
  """of the networks sampled from"""

  def __post_init__(self):
    super().__post_init__()
    alone = self.embedding_steps + self.supervised_steps
    if alone >= self.steps:
      raise ValueError(
        f'--steps={self.steps} leaves no step to the game: '
        f'--embedding-steps={self.embedding_steps} and '
        f'--supervised-steps={self.supervised_steps} come before it'
      )


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.timegan(
    config.window,
    read(config).values.shape[1],
    embedding_steps=config.embedding_steps,
    supervised_steps=config.supervised_steps,
    hidden=config.hidden,
    layers=config.layers,
    supervised_weight=config.supervised_weight,
    moments_weight=config.moments_weight,
    generator_moves=config.generator_moves,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  return windows(config)


def make_modality(config: Config) -> Modality:
  return modality(config)


def score(config: Config, generate: Sampler, count: int, seed: int) -> Report:
  return scored(config, windows(config), generate, count, seed)


def read(config: Data) -> data.Numbers:
  """The numbers of the config's file, read once."""
  return _read(config.path, config.sha256, config.columns)


@functools.lru_cache(maxsize=1)
def _read(path, sha256, columns):
  own_data.check_file(path, sha256)
  return data.read_numbers(path, columns)


def windows(config: Data, label: data.Label | None = None) -> data.Windows:
  """All windows of the config's file, with labels if `label` makes some."""
  table = read(config)
  rows = len(table.values)
  if rows < max(config.window, 2):
    raise ValueError(
      f'{config.path} has {counted(rows, "row")} of numbers, too few '
      f'for --window={config.window}'
    )
  return data.Windows(table.to_unit(table.values), config.window, label)


def modality(config: Data, label: data.Label | None = None) -> Modality:
  """Series as lines beside windows of the data, and as CSV in its units."""
  table = read(config)
  real = data.batch(windows(config, label), config.seed, 0, _SHOWN)

  def shown(sets, made):
    return Shown(lines(table, sets), {'.csv': table.to_csv(made)})

  def samples(made, conditions):
    asked = {**conditions, 'series': made}
    return shown({'data': real, 'samples': asked}, made)

  return Modality(
    unit='series',
    count=_SHOWN,
    reals=lambda batch: shown({'data': batch}, batch['series']),
    samples=samples,
    suffix='.csv',
    encode=table.to_csv,
    arrays=lambda made: {
      'series': table.to_data(made),
      'columns': np.array(table.names),
    },
  )


def lines(table: data.Numbers, sets: Mapping[str, jgan.Batch]) -> np.ndarray:
  """Returns a picture of sets of series, one column of the data to a column.

  In the upper rows numbers as they are, in the range of the data; in the lower
  ones what they have changed since the first step, in a range that holds all
  lines of the first set. A label has a colour.

  Args:
    table: of the data.
    sets: by name: 'series' in [0, 1], and perhaps 'label', of which the first
      few are shown.
  """
  levels, changes, widest = {}, {}, None
  for name, batch in sets.items():
    level = table.to_data(batch['series'][:_SHOWN])
    change = level - level[:, :1]
    if widest is None:
      widest = np.abs(change).max((0, 1))
    colours = batch.get('label', np.arange(len(level)))[:_SHOWN]
    ranges = zip(*table.range(), strict=True)
    levels[name] = _panels(level, colours, ranges)
    ranges = zip(0 - widest, widest, strict=True)
    changes[f'{name}, change'] = _panels(change, colours, ranges)
  return plots.line_panels(levels | changes, table.names[:_COLUMNS])


def _panels(series, colours, ranges):
  """A panel for each of the first columns."""
  return [
    plots.Panel(series[..., i], colours, low, high)
    for i, (low, high) in zip(range(_COLUMNS), ranges, strict=False)
  ]


def scored(
  config: Data,
  source: data.Windows,
  generate: Sampler,
  count: int,
  seed: int,
) -> Report:
  """The scores of as many samples as there are windows, `count` at most.

  What begins with 'real_' is the same score of the data itself: one half of
  the windows against the other, and a prediction of one half, learned on it, as
  the paper has it. What begins with 'normal_' is that of draws from a normal
  distribution over whole windows, with the data's means and covariances: what
  has no idea of time but these.

  Samples for labels are made for those of the windows that they are compared
  with. A column that is constant in the data is so in samples, as in their
  files.
  """
  rows = np.arange(len(source))
  if len(rows) > count:
    rows = np.random.default_rng(seed).permutation(rows)[:count]
  real = source[rows]
  index = np.arange(len(rows), dtype=np.int32)
  asked = {k: x for k, x in real.items() if k == 'label'} | {'index': index}
  table = read(config)
  fake = table.to_unit(table.to_data(generate.make(asked, seed)))
  found = _scores(real['series'], fake, fake, seed)
  return Report(
    found | _references(config, count, seed),
    {
      'real': config.path,
      'real_count': len(rows),
      'fake_count': len(rows),
      'window': config.window,
      'scale': 'each column of the data to [0, 1]',
      'discriminative': f'|accuracy - .5|, GRU, {_DISCRIMINATIVE_STEPS} steps',
      'predictive': f'error of last column, GRU, {_PREDICTIVE_STEPS} steps',
      'lags': _lags(config.window),
      'trainings': _SEEDS,
      'interval': f'95%, of the mean of {_SEEDS} trainings on these samples',
    },
    _pictures(real['series'], fake, seed),
  )


def _scores(
  real: np.ndarray, fake: np.ndarray, learn: np.ndarray, seed: int
) -> dict[str, Score]:
  """Of fakes against reals, which `learn` teaches to predict."""
  numbers = {'seeds': _SEEDS, 'seed': seed}
  told = metrics.discriminative_score(
    real, fake, steps=_DISCRIMINATIVE_STEPS, **numbers
  )
  missed = metrics.predictive_score(
    learn, real, steps=_PREDICTIVE_STEPS, **numbers
  )
  distance = metrics.autocorrelation_distance(real, fake, _lags(real.shape[1]))
  return {
    'discriminative_score': _mean(told),
    'predictive_score': _mean(missed),
    'autocorrelation_distance': Score(distance),
  }


@functools.lru_cache(maxsize=1)  # each evaluation during a training asks anew
def _references(config: Data, count: int, seed: int) -> Mapping[str, Score]:
  """The scores of the data itself, and of the normal distribution."""
  source = windows(config)
  rng = np.random.default_rng(seed)
  series = source[rng.permutation(len(source))[:count]]['series']
  one, other = np.array_split(series, 2)
  normal = normal_like(series, rng)
  found = {
    'real': _scores(one, other, one, seed),
    'normal': _scores(series, normal, normal, seed),
  }
  return {
    f'{kind}_{name}': value
    for kind, scores in found.items()
    for name, value in scores.items()
  }


def normal_like(series: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """As many draws of the normal distribution of the series' first two moments.

  Args:
    series: `[n, t, d]` in [0, 1], to which draws are clipped.
    rng: draws them.
  """
  flat = series.reshape(len(series), -1).astype(np.float64)
  mean = flat.mean(0)
  centred = (flat - mean) / np.sqrt(len(flat))
  # Rows of noise times the centred data have the data's covariance, which
  # itself may not fit into memory.
  drawn = [
    mean + rng.standard_normal((len(part), len(flat))) @ centred
    for part in np.array_split(flat, -(-len(flat) // _CHUNK))
  ]
  drawn = np.clip(np.concatenate(drawn), 0, 1).astype(np.float32)
  return drawn.reshape(series.shape)


def _lags(window: int) -> int:
  return min(10, window - 1)


def _mean(scores: np.ndarray) -> Score:
  """The mean over trainings, and the interval of Student's distribution."""
  spread = scores.std(ddof=1) / np.sqrt(len(scores))
  margin = stdtrit(len(scores) - 1, 0.975) * spread
  mean = scores.mean()
  return Score(float(mean), float(mean - margin), float(mean + margin))


def _pictures(
  real: np.ndarray, fake: np.ndarray, seed: int
) -> Mapping[str, Callable[[], np.ndarray]]:
  """Series as points, by their principal components and by t-SNE."""
  rng = np.random.default_rng(seed)
  rows = rng.permutation(len(real))[:_POINTS]
  real, fake = real[rows], fake[rows]

  def drawn(title, places):
    return plots.points(
      title, dict(zip(('data', 'samples'), places, strict=True))
    )

  def pca():
    return drawn('PCA', metrics.principal_components(real, fake))

  def tsne():
    return drawn('t-SNE', _embedded(real, fake, seed))

  def pca_alone():
    print(
      'no tsne.png: it needs scikit-learn (pip install "jgan[series]")',
      file=sys.stderr,
    )
    return pca()

  if importlib.util.find_spec('sklearn') is None:
    return {'pca': pca_alone}
  return {'pca': pca, 'tsne': tsne}


def _embedded(real, fake, seed):
  """Both by t-SNE; as in the paper's code of means over the columns."""
  from sklearn.manifold import TSNE  # an extra

  flat = np.concatenate([real.mean(2), fake.mean(2)])
  perplexity = min(40, (len(flat) - 1) / 3)
  found = TSNE(perplexity=perplexity, random_state=seed).fit_transform(flat)
  return np.split(found, [len(real)])
