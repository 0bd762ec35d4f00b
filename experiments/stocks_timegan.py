"""TimeGAN (Yoon et al., 2019) on the stock prices of its paper.

--path names stock_data.csv, or its gzip, which the authors' repository holds
(jsyoon0823/TimeGAN, in data/): Google's prices and volumes from 2004 to 2019,
3,685 days of 6 numbers, of which all 3,662 windows of 24 days are learned. Time
runs forwards, where the authors' code turns the file round, and leaves its last
window out: what is published is of series that run backwards.

Measured here (jax 0.10.2), by fewer steps than the default's:

  python -m experiments.train stocks-timegan --workdir=/tmp/run --steps=5500
  python -m experiments.evaluate --workdir=/tmp/run

with --embedding-steps=1000 --supervised-steps=500 and --path, in 9 min 20 s of
CPU time on one core (28 minutes by the clock, of a core shared with others).
Of 3,662 samples and as many windows of the data, in 2 minutes of CPU time:

                            samples   data itself   normal draws   published
  discriminative score         .191          .014           .202        .102
  predictive score            .0458         .0360          .0483        .038
  autocorrelation distance     .076          .005           .038

So short a run is better than draws from a normal distribution over whole
windows in the predictive score alone: levels are right, and windows are too
smooth, all bent in their first days. 'Published' is the paper's, as later
papers quote it. A user of the authors' code reports .202 and .0378 for 10,000
iterations of each phase, .126 and .0367 for 50,000 (its issue 29); this run has
2,000 of the third phase. The default has 10,000 of it, at this rate three
quarters of an hour of CPU time; its scores were not measured here.
"""

import dataclasses

import jgan
from experiments import data, series
from experiments.modality import Modality
from experiments.sampler import Sampler
from experiments.scoring import Report

LOWER_IS_BETTER = series.LOWER_IS_BETTER
HIGHER_IS_BETTER = series.HIGHER_IS_BETTER
FEWEST = series.FEWEST


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(series.Config):
  """The numbers worth changing."""


def make_gan(config: Config) -> jgan.GAN:
  return series.make_gan(config)


def make_data(config: Config) -> data.Source:
  return series.windows(config)


def make_modality(config: Config) -> Modality:
  return series.modality(config)


def score(config: Config, generate: Sampler, count: int, seed: int) -> Report:
  return series.score(config, generate, count, seed)
