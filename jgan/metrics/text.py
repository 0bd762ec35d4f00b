"""Scores of texts: by the words that they share, and by n-gram models.

A text is a sequence of tokens: words, characters (then a string will do), or
numbers, also those of an array with a text in each row. No score tells alone: a
generator that repeats one good text has the best of qualities and no diversity.
Read those of quality, `bleu` of samples against reals and
`ngram_cross_entropy(reals, samples)`, beside those of diversity, `self_bleu`
and `ngram_cross_entropy(samples, reals)`, and both beside the same scores of a
model trained by likelihood (Caccia et al., Language GANs Falling Short, 2020,
https://arxiv.org/abs/1811.02549).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from jgan.metrics.arrays import Array

Text = Sequence[Hashable]
Texts = Sequence[Text] | Shaped[Array, '_ _']

_SMOOTH = 0.1  # in place of no match at all
_END = object()  # of a text, a token of its own


def bleu(texts: Texts, references: Texts, n: int = 4) -> float:
  r"""How much of texts is found in references: the mean BLEU-n.

  .. math:: e^{\min(0, 1 - r / c)} \prod_{k=1}^n p_k^{1/n}

  of a text of c tokens, where p_k is the share of its k-grams that a reference
  has, each counted as often as in the reference that has it most often, and r
  is the length of the reference that is nearest in length. Where no k-gram
  matches, .1 counts as matched; where no token does, BLEU is 0.

  Args:
    texts: to be scored.
    references: in which k-grams are looked for.
    n: the longest k-grams.

  Returns:
    From 0 to 1.

  Raises:
    ValueError: there are no texts or references, or n is below 1.

  References:
    Papineni et al., BLEU, 2002; as by NLTK's `sentence_bleu` with its
    smoothing 'method1', which Texygen (Zhu et al., 2018) takes.
  """
  texts, references = _checked('bleu', n, texts=texts, references=references)
  most = _most(_grams(text, n) for text in references)
  lengths = Counter(map(len, references))

  def among_references(gram, own):
    return most[gram][0] if gram in most else 0

  return _mean(
    _bleu(_grams(text, n), len(text), among_references, lengths, n)
    for text in texts
  )


def self_bleu(texts: Texts, n: int = 4) -> float:
  """How alike texts are: the mean BLEU-n of each against all others.

  Args:
    texts: two or more.
    n: the longest k-grams.

  Returns:
    From 0 to 1, the higher the less diverse.

  Raises:
    ValueError: there are less than two texts, or n is below 1.

  References:
    Zhu et al., Texygen: A Benchmarking Platform for Text Generation Models,
    2018 (https://arxiv.org/abs/1802.01886).
  """
  (texts,) = _checked('self_bleu', n, texts=texts)
  if len(texts) < 2:
    raise ValueError('self_bleu: needs two texts or more, got one.')
  counted = [_grams(text, n) for text in texts]
  most, lengths = _most(counted), Counter(map(len, texts))

  def among_others(gram, own):
    first, second = most[gram]
    return second if own == first else first

  return _mean(
    _bleu(grams, len(text), among_others, lengths - Counter([len(text)]), n)
    for text, grams in zip(texts, counted, strict=True)
  )


def ngram_cross_entropy(
  train: Texts, test: Texts, vocabulary: int, n: int = 3
) -> float:
  r"""How surprising texts are to an n-gram model of others, in nats a token.

  The model interpolates by Witten and Bell: after a history h that was
  followed T times by N(h) different tokens,

  .. math:: p(w | h) = \frac{c(h w) + N(h) \, p(w | h')}{T + N(h)}

  where h' is the history without its first token, and below none is the
  uniform distribution. The end of a text is a token too. Of reals on samples
  it falls where samples are good (or dull); of samples on reals where samples
  are good and as diverse as the reals.

  Args:
    train: texts that the model learns.
    test: texts that it is asked of.
    vocabulary: tokens that there are, without the end.
    n: tokens that it looks at, the one to be told among them.

  Returns:
    At least 0.

  Raises:
    ValueError: there are no texts, there are more tokens than the vocabulary
      has, or n is below 1.

  References:
    Witten and Bell, The zero-frequency problem, 1991; the two directions as
    the forward and reverse perplexity of Zhao et al., 2018
    (https://arxiv.org/abs/1706.04223).
  """
  who = 'ngram_cross_entropy'
  train, test = _checked(who, n, train=train, test=test)
  there = len(
    {token for texts in (train, test) for text in texts for token in text}
  )
  if there > vocabulary:
    raise ValueError(f'{who}: {there} tokens are more than {vocabulary}.')
  follows = defaultdict(Counter)
  for text in train:
    for history, token in _histories(text, n):
      for start in range(len(history) + 1):
        follows[history[start:]][token] += 1
  totals = {history: counts.total() for history, counts in follows.items()}

  def probability(history, token):
    p = 1 / (vocabulary + 1)
    for start in range(len(history), -1, -1):
      shorter = history[start:]
      if (counts := follows.get(shorter)) is None:
        break  # no longer history was seen either
      p = (counts[token] + len(counts) * p) / (totals[shorter] + len(counts))
    return p

  told = [
    math.log(probability(history, token))
    for text in test
    for history, token in _histories(text, n)
  ]
  return -math.fsum(told) / len(told)


def _histories(text: Text, n: int):
  """Each token of a text, and its end, after the n - 1 tokens before it."""
  tokens = (*text, _END)
  for i, token in enumerate(tokens):
    yield tuple(tokens[max(i - n + 1, 0) : i]), token


def _grams(text: Text, n: int) -> Counter:
  """How often a text has each of its k-grams, for k up to n."""
  return Counter(
    tuple(text[i : i + k])
    for k in range(1, n + 1)
    for i in range(len(text) - k + 1)
  )


def _most(counted: Iterable[Counter]) -> Mapping[tuple, tuple[int, int]]:
  """Of each k-gram the two largest counts in a text."""
  most = defaultdict(lambda: (0, 0))
  for grams in counted:
    for gram, count in grams.items():
      most[gram] = tuple(sorted((*most[gram], count), reverse=True)[:2])
  return most


def _bleu(grams, length, reference_count, reference_lengths, n):
  """Of one text, from the counts of its k-grams and of the references'."""
  matched = [0] * n
  for gram, count in grams.items():
    matched[len(gram) - 1] += min(count, reference_count(gram, count))
  if not matched[0]:
    return 0.0
  logs = [
    math.log((hits or _SMOOTH) / max(length - k, 1))
    for k, hits in enumerate(matched)
  ]
  nearest = min(reference_lengths, key=lambda r: (abs(r - length), r))
  return math.exp(min(0, 1 - nearest / length) + sum(logs) / n)


def _mean(scores: Iterable[float]) -> float:
  return float(np.mean(np.fromiter(scores, np.float64)))


def _checked(who: str, n: int, **sets: Texts) -> list[Sequence[Text]]:
  """The texts, of tokens that can be looked up."""
  if n < 1:
    raise ValueError(f'{who}: n must be 1 or more, got {n}.')
  for name, texts in sets.items():
    if not len(texts):
      raise ValueError(f'{who}: {name} must hold a text or more, got none.')
  return [
    np.asarray(texts).tolist() if isinstance(texts, Array) else texts
    for texts in sets.values()
  ]
