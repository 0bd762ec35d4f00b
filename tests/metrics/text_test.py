"""Scores of texts by hand, by enumeration, and against NLTK where it is."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from jgan.metrics import bleu, ngram_cross_entropy, self_bleu

CATS = ['the', 'cat', 'sat', 'on', 'the', 'mat']
DOGS = ['the', 'dog', 'sat', 'on', 'a', 'log']


def test_bleu_by_hand():
  # Unigrams: the (2 of which one is in DOGS), sat, on: 3 of 6. Bigrams: sat on,
  # 1 of 5.
  assert bleu([CATS], [DOGS], 1) == pytest.approx(3 / 6)
  assert bleu([CATS], [DOGS], 2) == pytest.approx(math.sqrt(3 / 6 * 1 / 5))
  # No trigram: .1 of 4 counts.
  expected = (3 / 6 * 1 / 5 * 0.1 / 4) ** (1 / 3)
  assert bleu([CATS], [DOGS], 3) == pytest.approx(expected)
  assert bleu([CATS], [DOGS, CATS], 4) == pytest.approx(1)
  assert bleu([CATS, DOGS], [DOGS], 1) == pytest.approx((0.5 + 1) / 2)
  assert bleu(['xyz'], ['abc'], 2) == 0


def test_short_texts_pay():
  assert bleu(['ab'], ['abcd'], 1) == pytest.approx(math.exp(1 - 4 / 2))
  # The nearest in length counts, of two as near the shorter.
  assert bleu(['abc'], ['abcd', 'ab'], 1) == pytest.approx(1)
  assert bleu(['abc'], ['abcde', 'abcd'], 1) == pytest.approx(
    math.exp(1 - 4 / 3)
  )


def test_self_bleu_is_bleu_against_all_others():
  texts = ['abcab', 'abcb', 'bcab', 'ab', 'abcab']
  expected = np.mean(
    [bleu([t], texts[:i] + texts[i + 1 :], 3) for i, t in enumerate(texts)]
  )
  assert self_bleu(texts, 3) == pytest.approx(expected)
  assert self_bleu(['abc'] * 3, 2) == pytest.approx(1)
  assert self_bleu(['abc', 'xyz'], 2) == 0


def random_texts(count, seed):
  rng = np.random.default_rng(seed)
  return [rng.integers(0, 6, rng.integers(1, 9)).tolist() for _ in range(count)]


@pytest.mark.parametrize('n', [1, 2, 4])
def test_bleu_is_nltks(n):
  translate = pytest.importorskip(
    'nltk.translate.bleu_score', reason="needs the extra 'oracles'"
  )
  texts, references = random_texts(20, 0), random_texts(15, 1)
  expected = [
    translate.sentence_bleu(
      references,
      text,
      [1 / n] * n,
      translate.SmoothingFunction().method1,
    )
    for text in texts
  ]
  assert bleu(texts, references, n) == pytest.approx(np.mean(expected))


def test_cross_entropy_by_hand():
  # Of 'a' and of the end, each seen once, of 3 tokens with the end: without
  # history (1 + 2 / 3) / (2 + 2) = 5 / 12 each.
  got = ngram_cross_entropy(['a'], ['a'], 2, 1)
  assert got == pytest.approx(-math.log(5 / 12))
  # 'b' was not seen: (0 + 2 / 3) / 4.
  got = ngram_cross_entropy(['a'], ['b'], 2, 1)
  assert got == pytest.approx(-(math.log(1 / 6) + math.log(5 / 12)) / 2)
  # After 'a' the end alone was seen: (1 + 5 / 12) / 2. At the beginning, with
  # no history, 'a' has 5 / 12.
  got = ngram_cross_entropy(['a'], ['a'], 2, 2)
  assert got == pytest.approx(-(math.log(5 / 12) + math.log(17 / 24)) / 2)


@pytest.mark.parametrize('n', [1, 2, 3])
def test_a_model_gives_all_tokens_a_probability_of_one(n):
  train = ['abca', 'ab', 'cc', 'a']

  def told(text):  # the sum over its tokens and its end
    size = len(text) + 1
    return -size * ngram_cross_entropy(train, [text], 4, n)

  # Texts up to two tokens of 'abcd', and those that are longer than them.
  whole = sum(
    math.exp(told(''.join(text)))
    for k in range(3)
    for text in itertools.product('abcd', repeat=k)
  )
  longer = sum(
    math.exp(told(a + b + c)) / _ending(train, a + b + c, n)
    for a, b, c in itertools.product('abcd', repeat=3)
  )
  assert whole + longer == pytest.approx(1)


def _ending(train, text, n):
  """The probability that a text ends after its tokens: as told with, over
  as told without."""
  last = text[-(n - 1) :] if n > 1 else ''
  p, seen = 1 / 5, [(*t, None) for t in train]
  for k in range(len(last) + 1):
    history = tuple(last[len(last) - k :])
    after = [
      t[i + k]
      for t in seen
      for i in range(len(t) - k)
      if t[i : i + k] == history
    ]
    if not after:
      break
    kinds = len(set(after))
    p = (after.count(None) + kinds * p) / (len(after) + kinds)
  return p


def test_own_texts_surprise_less_than_others():
  train, others = ['abab', 'ababab', 'ab'], ['bbaa', 'aabb']
  own, other = (ngram_cross_entropy(train, x, 2) for x in (train, others))
  assert own < 0.8 < other


def test_mistakes_are_named():
  with pytest.raises(ValueError, match='bleu: references must hold a text'):
    bleu(['a'], [])
  with pytest.raises(ValueError, match='n must be 1 or more, got 0'):
    bleu(['a'], ['a'], 0)
  with pytest.raises(ValueError, match='two texts or more, got one'):
    self_bleu(['a'])
  with pytest.raises(ValueError, match='3 tokens are more than 2'):
    ngram_cross_entropy(['ab'], ['c'], 2)


def test_rows_of_arrays_are_texts():
  tokens = np.array([[1, 2, 3, 1], [1, 3, 2, 1], [2, 2, 3, 1]])
  for rows in (tokens, jnp.asarray(tokens)):
    assert bleu(rows, rows[1:], 2) == bleu(tokens.tolist(), rows[1:], 2) < 1
    assert self_bleu(rows, 2) == self_bleu(tokens.tolist(), 2)
    assert ngram_cross_entropy(rows, rows[:1], 4) == ngram_cross_entropy(
      tokens.tolist(), tokens[:1].tolist(), 4
    )
