"""Texts: what every experiment on them has, but its game.

The scores of samples, each in nats a token or a share from 0 to 1:

  held_out_nll            what the generator misses of held-out texts
  forward_cross_entropy   what a 4-gram model of the data misses of samples:
                          their quality
  reverse_cross_entropy   what a 4-gram model of the samples misses of held-out
                          texts: quality and diversity
  bleu                    BLEU-4 of samples against held-out texts: quality
  self_bleu               BLEU-4 of samples against each other: the higher, the
                          less diverse
  unique                  the share of different texts among the samples
  copied                  the share of samples that the data have, letter by
                          letter

Those that begin with 'real_' are of as many texts to learn from in place of
samples, the forward cross-entropy of held-out texts. They are no bound: samples
that are dull have a lower forward cross-entropy than the data.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

import jgan
from experiments import data, own_data, plots
from experiments.modality import Modality, Shown
from experiments.sampler import Sampler
from experiments.scoring import Report, Score
from jgan import metrics
from jgan.models.language import LanguageModel, log_likelihood

LOWER_IS_BETTER = (
  'held_out_nll',
  'forward_cross_entropy',
  'reverse_cross_entropy',
  'self_bleu',
)
HIGHER_IS_BETTER = ('bleu', 'unique')
WIDTHS = (2, 3, 4, 5)  # of the discriminator's filters
_N = 4  # tokens of the longest n-grams
_SHOWN = 40  # texts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(own_data.OfFile):
  """The numbers of every game of texts."""

  steps: int = 3000
  batch_size: int = 64
  best_by: str = 'reverse_cross_entropy'
  """the score for best/"""
  path: str = ''
  """texts, a line each, or their gzip"""
  words: bool = False
  """of words, not of characters"""
  length: int = 0
  """tokens at most; 0: all texts"""
  vocabulary: int = 5000
  """the most frequent tokens"""
  likelihood_steps: int = 2000
  """of the generator alone, first"""
  embedding: int = 32
  """numbers of a token"""
  hidden: int = 128
  """units of the generator's LSTM"""
  filters: int = 64
  """of each width, 2 to 5 tokens"""
  dropout: float = 0.25
  """of the discriminator's features"""
  likelihood_rate: float = 5e-3
  """Adam's, of the first phase"""
  generator_rate: float = 1e-4
  """Adam's, in the game"""
  discriminator_rate: float = 1e-3
  """Adam's"""
  ema_decay: float = 0.99
  """of the generator sampled from"""


def arguments(config: Config) -> dict[str, Any]:
  """What both games, `jgan.models.seqgan` and `gumbelgan`, take of a config."""
  texts = corpus(config)
  return {
    'vocabulary': len(texts.vocabulary),
    'length': texts.tokens.shape[1],
    'likelihood_steps': config.likelihood_steps,
    'embedding': config.embedding,
    'hidden': config.hidden,
    'filters': tuple((width, config.filters) for width in WIDTHS),
    'dropout': config.dropout,
    'likelihood_learning_rate': config.likelihood_rate,
    'generator_learning_rate': config.generator_rate,
    'discriminator_learning_rate': config.discriminator_rate,
    'ema_decay': config.ema_decay,
    'dtype': config.dtype,
  }


def corpus(config: Config) -> data.Corpus:
  """The texts of the config's file, read once."""
  numbers = config.words, config.length, config.vocabulary
  return _read(config.path, config.sha256, *numbers)


@functools.lru_cache(maxsize=1)
def _read(path, sha256, words, length, vocabulary):
  own_data.check_file(path, sha256)
  return data.read_texts(path, words=words, length=length, most=vocabulary)


def make_data(config: Config) -> data.Source:
  """Texts to learn from: 'tokens', int32 `[length]` each."""
  return data.Arrays({'tokens': corpus(config).tokens})


def make_modality(config: Config) -> Modality:
  """Texts on a page beside those of the data, and as a file of lines."""
  texts = corpus(config)
  real = data.batch(make_data(config), config.seed, 0, _SHOWN)['tokens']

  def shown(sets, made):
    lines = {name: texts.decode(tokens) for name, tokens in sets.items()}
    return Shown(plots.texts(lines), {'.txt': _lines(texts.decode(made))})

  return Modality(
    unit='texts',
    count=_SHOWN,
    reals=lambda batch: shown({'data': batch['tokens']}, batch['tokens']),
    samples=lambda made, _: shown({'data': real, 'samples': made}, made),
    suffix='.txt',
    encode=lambda one: _lines(texts.decode(one[None])),
    arrays=lambda made: {'text': np.array(texts.decode(made))},
  )


def _lines(texts):
  return ''.join(f'{text}\n' for text in texts).encode('utf-8')


def remark(config: Config, steps: int) -> str:
  """How many texts there are, and who has moved by so many steps."""
  texts = corpus(config)
  told = (
    f'{len(texts.tokens):,} texts of at most {texts.tokens.shape[1]} tokens '
    f'and {len(texts.held_out):,} held out, of {len(texts.vocabulary) - 1:,} '
    f'{"words" if config.words else "characters"}'
  )
  if texts.left_out:
    told += f'; {texts.left_out:,} longer texts left out'
  if steps <= config.likelihood_steps:
    told += '; trained by likelihood alone so far'
  return told


def score(config: Config, generate: Sampler, count: int, seed: int) -> Report:
  """The scores that the module's docstring lists, of at most `count` samples.

  As many as there are texts to learn from, BLEU of as many as are held out,
  and of two at least.
  """
  texts = corpus(config)
  order = np.random.default_rng(seed).permutation(len(texts.tokens))
  real = texts.split(texts.tokens[order[:count]])
  made = texts.split(generate(len(real), seed))
  learned, held_out = (texts.split(x) for x in (texts.tokens, texts.held_out))
  size, known, few = len(texts.vocabulary), set(learned), max(len(held_out), 2)
  entropy = metrics.ngram_cross_entropy
  found = {'held_out_nll': held_out_nll(config, generate)}
  # Good texts that are new are held-out ones.
  for name, parts, new in (('', made, made), ('real_', real, held_out)):
    found |= {
      f'{name}forward_cross_entropy': entropy(learned, new, size, _N),
      f'{name}reverse_cross_entropy': entropy(parts, held_out, size, _N),
      # BLEU of unequal numbers of texts does not compare.
      f'{name}bleu': metrics.bleu(parts[:few], held_out, _N),
      f'{name}self_bleu': metrics.self_bleu(parts[:few], _N),
      f'{name}unique': len(set(parts)) / len(parts),
    }
  found['copied'] = sum(part in known for part in made) / len(made)
  return Report(
    {name: Score(float(value)) for name, value in found.items()},
    {
      'samples': len(made),
      'held_out': len(held_out),
      'tokens': 'words' if config.words else 'characters',
      'n': _N,
    },
  )


def held_out_nll(config: Config, generate: Sampler) -> float:
  """What the generator misses of held-out texts, in nats a token.

  Over the tokens of each text and its end, as n-gram models count.
  """
  texts = corpus(config)
  model = LanguageModel(len(texts.vocabulary), config.embedding, config.hidden)
  told = missed(generate, model, texts.held_out)
  ends = np.array([len(parts) for parts in texts.split(texts.held_out)])
  counted = np.arange(told.shape[1]) <= ends[:, None]
  return told[counted].mean(dtype=np.float64)


def missed(
  generate: Sampler,
  model: LanguageModel,
  tokens: np.ndarray,
  variables: jgan.Variables | None = None,
) -> np.ndarray:
  """Minus the log-likelihood of every token, float32 `[n, t]`.

  Args:
    generate: of whose state the generator's averaged params are taken.
    model: the generator, or another.
    tokens: int32 `[n, t]`.
    variables: of the other; None for the generator's.
  """

  def tell(players, batch, key):
    own = players['generator'] if variables is None else variables
    return -log_likelihood(model, own, batch['tokens'])

  # In place of samples: a chunk at a time, from the params they come from.
  teller = generate._replace(gan=generate.gan._replace(sample=tell))
  return teller.make({'index': np.arange(len(tokens)), 'tokens': tokens})
