"""What the experiments with a CTGAN share: its numbers, it, and its scores.

With --dp-noise the training is differentially private: see `Privacy` in
jgan/models/ctgan.py for the game and for what it covers. What a run prints as
epsilon holds for its generator, and so for samples of it, and is kept in
evaluation.json. It does not hold for the rest of the workdir: reals.png and the
scores are of real rows, metrics.jsonl is of what they make the losses, and with
the seed in config.json the noise can be drawn again. Nor for what was read of
the data beforehand, which counts as public: which columns there are, of labels
their values and how frequent they are, of numbers the modes, the least and the
greatest, and how many rows there are. Two tables are neighbours where one has a
row more.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

import jgan
from experiments import data, own_data, privacy, table_scores, tabular
from experiments.data import row_sampling, tables
from experiments.data.csv_files import Table
from experiments.modality import Modality
from experiments.sampler import Sampler
from experiments.scoring import Report, Score
from jgan.models.ctgan import Privacy

LOWER_IS_BETTER = (
  'marginal_distance',
  'total_variation',
  'kolmogorov_smirnov',
  'association_difference',
)
HIGHER_IS_BETTER = ('f1', 'accuracy', 'r2')
_HELD_OUT = 0.2  # share of the rows
_LEAST_SEED = 1_000_000  # of a private run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(own_data.OfFile):
  """The numbers worth changing; a docstring is help also where overridden."""

  steps: int = 15_600
  batch_size: int = 500
  sample_every: int = 1000
  save_every: int = 1000
  best_by: str = 'association_difference'
  path: str = ''
  """a CSV file, its first line names"""
  target: str = ''
  """column for the models to predict"""
  labels: tuple[str, ...] = ()
  """columns of numbers that are labels"""
  drop: tuple[str, ...] = ()
  """columns to leave out"""
  max_values: int = 500
  """of labels; the rarest are one"""
  latent_dim: int = 128
  """entries of a latent"""
  width: int = 256
  """units of all layers"""
  pack: int = 10
  """rows that are judged together"""
  learning_rate: float = 2e-4
  """Adam's, of both players"""
  ema_decay: float = 0.999
  """of the generator sampled from"""
  dp_noise: float = 0.0
  """noise multiplier; 0: not private"""
  dp_clip: float = 1.0
  """largest norm of a row's gradient"""
  delta: float = 1e-5
  """of (epsilon, delta)"""

  def __post_init__(self):
    super().__post_init__()
    if self.batch_size % self.pack:
      raise ValueError(
        f'--batch-size={self.batch_size} must be a multiple of '
        f'--pack={self.pack}'
      )
    if not self.dp_clip:
      raise ValueError(f'--dp-clip must be above 0, got {self.dp_clip}')
    if not 0 < self.delta < 1:
      raise ValueError(f'--delta must be above 0 and below 1, got {self.delta}')
    if not self.dp_noise:
      return
    if self.pack != 1:
      raise ValueError(
        f'--dp-noise needs --pack=1, not {self.pack}: the gradient of a row '
        'must depend on no other'
      )
    if self.evaluate_every:
      raise ValueError(
        '--dp-noise and --evaluate-every do not go together: the best of '
        'several states is chosen by real rows, which epsilon does not count'
      )
    if self.seed < _LEAST_SEED:
      raise ValueError(
        f'--dp-noise needs a secret --seed of {_LEAST_SEED:,} or more, since '
        'who guesses it knows the noise. One is made by: python -c '
        "'import secrets; print(secrets.randbits(31))'"
      )

  def table(self) -> Table:
    """All rows, from `path`.

    Raises:
      ValueError, FileNotFoundError: as of `read_csv`; or the file is another
        than when the run began.
    """
    if not self.path:
      raise ValueError('give --path=FILE, a CSV file whose first line is names')
    own_data.check_file(self.path, self.sha256)
    return data.read_csv(self.path, self.names)

  @property
  def names(self) -> tuple[str, ...] | None:
    """Of the columns, where the file may not name them."""
    return None


class Parts(NamedTuple):
  """A table in two parts, and what makes rows of it.

  Attributes:
    encoding: fitted to `train`.
    train: rows to learn from.
    held_out: rows for the scores.
    rows: `train`, encoded.
  """

  encoding: tables.Encoding
  train: Table
  held_out: Table
  rows: tables.Encoded


@functools.lru_cache(maxsize=1)  # a command asks for them several times
def parted(config: Config) -> Parts:
  """Reads, parts and fits. ValueError, OSError: the table does not do."""
  whole = config.table().without(config.drop)
  if len(whole) < 2:
    raise ValueError(
      f'a table needs two rows or more, to learn from and to compare with; '
      f'got {len(whole)}'
    )
  order = np.random.default_rng(0).permutation(len(whole))
  held_out = min(max(round(_HELD_OUT * len(whole)), 1), len(whole) - 1)
  train = whole.rows(order[held_out:])
  encoding = tables.fit(
    whole,
    order[held_out:],
    labels=config.labels,
    max_values=config.max_values,
  )
  rows = encoding.encode(train)
  return Parts(encoding, train, whole.rows(order[:held_out]), rows)


def make_gan(config: Config) -> jgan.GAN:
  private = Privacy(config.dp_clip, config.dp_noise)
  return jgan.models.ctgan(
    parted(config).encoding.layout,
    latent_dim=config.latent_dim,
    generator_widths=(config.width,) * 2,
    critic_widths=(config.width,) * 2,
    pack=config.pack,
    learning_rate=config.learning_rate,
    ema_decay=config.ema_decay,
    privacy=private if config.dp_noise else None,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  parts = parted(config)
  known = table_scores.names(parts.encoding, config.target)
  if config.evaluate_every and config.best_by not in known:
    raise ValueError(
      f'--best-by={config.best_by} is no score of this table, which has '
      f'{", ".join(sorted(known))}'
    )
  if not config.dp_noise:
    return row_sampling.TrainingBySampling(parts.rows)
  if config.delta >= 1 / len(parts.rows):
    raise ValueError(
      f'--delta={config.delta} must be below 1 by the {len(parts.rows)} rows: '
      'at more, giving some rows away would count as private'
    )
  epsilon(config, config.steps)  # refuses what spends too much
  return row_sampling.PoissonSampling(parts.rows)


def make_modality(config: Config) -> Modality:
  parts = parted(config)
  return tabular.modality(parts.encoding, parts.rows)


def epsilon(config: Config, steps: int) -> float:
  """What a private run has spent after so many steps, at its delta.

  Raises:
    ValueError: as of `experiments.privacy.epsilon`.
  """
  rate = row_sampling.poisson_rate(len(parted(config).rows), config.batch_size)
  # Where all rows are in every batch they fit into one.
  overflow = row_sampling.OVERFLOW if rate < 1 else 0.0
  return privacy.epsilon(config.dp_noise, rate, steps, config.delta, overflow)


def remark(config: Config, steps: int) -> str:
  """What a command says of a run of so many steps; '' without privacy."""
  if not config.dp_noise:
    return ''
  return (
    f'differentially private: epsilon {epsilon(config, steps):.3g} at delta '
    f'{config.delta:g} after {steps:,} steps'
  )


def score(config: Config, generate: Sampler, count: int, seed: int) -> Report:
  """Scores of `count` samples as a table; see `experiments.table_scores`."""
  parts = parted(config)
  fake = parts.encoding.decode(generate(count, seed), seed)
  compared = table_scores.Tables(
    parts.encoding, parts.train, parts.held_out, fake
  )
  found = table_scores.scores(compared, config.target, seed)
  protocol = {
    'real_count': len(parts.train),
    'held_out_count': len(parts.held_out),
    'fake_count': count,
    'target': config.target or None,
    **table_scores.worst(compared),
  }
  if config.target:
    protocol['models'] = table_scores.models(parts.encoding, config.target)
  if config.dp_noise:
    steps = int(generate.state.step)
    found['epsilon'] = Score(epsilon(config, steps))
    protocol |= {
      'delta': config.delta,
      'noise_multiplier': config.dp_noise,
      'clip': config.dp_clip,
      'sampling': 'Poisson, of rate '
      f'{row_sampling.poisson_rate(len(parts.rows), config.batch_size):.3g}',
      'neighbours': 'one row more',
      'accountant': 'dp-accounting, privacy loss distributions',
    }
  return Report(found, protocol)
