"""SeqGAN (Yu et al., 2017) on texts of an oracle, which judges its samples.

The paper's test: an LSTM with standard normal params writes 10,000 texts to
learn from, and tells what it misses of samples, in nats a token.

Measured here (jax 0.10.2), on one CPU core in 10 minutes with both evaluations:

  python -m experiments.train oracle-seqgan --workdir=/tmp/run --steps=2000
  python -m experiments.evaluate --workdir=/tmp/run
  python -m experiments.train oracle-seqgan --workdir=/tmp/run
  python -m experiments.evaluate --workdir=/tmp/run

of 10,000 samples, after likelihood alone (step 2,000) and after the game (140
moves of the generator), beside the oracle's own texts and the paper's scores:

                  likelihood    game   oracle
  oracle NLL           9.118   9.115    5.992
  held-out NLL         8.207   8.233
  published            9.038   8.736

The game is too short to tell: its discriminator comes to know samples (.05 is
its mean probability that they are real, at the end), and 140 moves change the
generator little. The paper plays 200 rounds of it, with 16 roll-outs in place
of 4 and, in the authors' code, 4,680 moves of the discriminator in each, of 64
texts where ours have 128, which took too long here.
Likelihood alone has begun to learn the 10,000 texts by heart (6.63 on them).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

import jgan
from experiments import config as base
from experiments import data, plots
from experiments.language import WIDTHS, missed
from experiments.modality import Modality, Shown
from experiments.sampler import Sampler
from experiments.scoring import Report, Score
from jgan.models.language import LanguageModel, sampled
from jgan.models.seqgan import oracle

LOWER_IS_BETTER = ('oracle_nll', 'held_out_nll')
HIGHER_IS_BETTER = ()
_TEXTS = 10_000  # to learn from, as in the paper, and as many held out
_AT_ONCE = 1000  # texts that the oracle writes
_SHOWN = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(base.Config):
  """The numbers worth changing."""

  steps: int = 3000
  batch_size: int = 64
  best_by: str = 'oracle_nll'
  vocabulary: int = 5000  # tokens
  length: int = 20  # tokens of a text
  likelihood_steps: int = 2000  # of the generator alone
  discriminator_steps: int = 300  # of the other alone, then
  n_critic: int = 5  # its moves to a generator's
  rollouts: int = 4  # that complete a beginning
  embedding: int = 32  # numbers of a token, the oracle's too
  hidden: int = 32  # units of both LSTMs
  filters: int = 64  # of each width, 2 to 5 tokens
  l2: float = 0.0  # on the discriminator's last layer
  dropout: float = 0.25  # of the discriminator's features
  likelihood_rate: float = 1e-2  # Adam's, of the first phase
  generator_rate: float = 1e-3  # Adam's, in the game
  discriminator_rate: float = 1e-3  # Adam's
  ema_decay: float = 0.99  # of the generator sampled from


def make_gan(config: Config) -> jgan.GAN:
  return jgan.models.seqgan(
    config.vocabulary,
    config.length,
    likelihood_steps=config.likelihood_steps,
    discriminator_steps=config.discriminator_steps,
    n_critic=config.n_critic,
    rollouts=config.rollouts,
    embedding=config.embedding,
    hidden=config.hidden,
    filters=tuple((width, config.filters) for width in WIDTHS),
    dropout=config.dropout,
    l2=config.l2,
    likelihood_learning_rate=config.likelihood_rate,
    generator_learning_rate=config.generator_rate,
    discriminator_learning_rate=config.discriminator_rate,
    ema_decay=config.ema_decay,
    dtype=config.dtype,
  )


def make_data(config: Config) -> data.Source:
  return data.Arrays({'tokens': texts(config)[:_TEXTS]})


def texts(config: Config) -> np.ndarray:
  """Texts of the oracle, int32 `[2 * _TEXTS, length]`: learned, held out."""
  return _texts(config.vocabulary, config.length, _oracle(config))


def _oracle(config):
  return config.vocabulary, config.embedding, config.hidden


@functools.lru_cache(maxsize=1)
def _texts(vocabulary, length, sizes):
  model, variables = oracle(*sizes)
  draw = jax.jit(functools.partial(sampled, model, length=length))
  key = jax.random.key(0)
  numbers = jnp.arange(2 * _TEXTS).reshape(-1, _AT_ONCE)
  return np.concatenate(
    [draw(variables, {'index': part}, key) for part in numbers]
  )


def make_modality(config: Config) -> Modality:
  """Texts as numbers of their tokens."""

  def lines(tokens):
    return [' '.join(map(str, row)) for row in np.asarray(tokens).tolist()]

  def shown(name, tokens):
    told = lines(tokens)
    return Shown(
      plots.texts({name: told}), {'.txt': '\n'.join([*told, '']).encode()}
    )

  return Modality(
    unit='texts',
    count=_SHOWN,
    reals=lambda batch: shown('oracle', batch['tokens']),
    samples=lambda made, _: shown('samples', made),
    suffix='.txt',
    encode=lambda one: (lines(one[None])[0] + '\n').encode(),
    arrays=lambda made: {'tokens': np.asarray(made)},
  )


def score(config: Config, generate: Sampler, count: int, seed: int) -> Report:
  """What the oracle misses of samples, and the generator of the oracle's.

  Both in nats a token. 'real_oracle_nll', what the oracle misses of its own
  texts, is the entropy that no generator with its distribution stays below.
  """
  truth, variables = oracle(*_oracle(config))
  own = LanguageModel(config.vocabulary, config.embedding, config.hidden)
  held_out = texts(config)[_TEXTS:][:count]
  samples = generate(len(held_out), seed)
  told = {
    'oracle_nll': missed(generate, truth, samples, variables),
    'held_out_nll': missed(generate, own, held_out),
    'real_oracle_nll': missed(generate, truth, held_out, variables),
  }
  return Report(
    {
      name: Score(float(each.mean(dtype=np.float64)))
      for name, each in told.items()
    },
    {'samples': len(held_out)},
  )
