"""Texts, a line each, and the tokens that they are made of."""

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.errors import counted

UNKNOWN = '\N{REPLACEMENT CHARACTER}'
_END = 0  # the token that says that a text has ended, and fills it up
_HELD_OUT = 10  # one text in so many
_LONGEST = 200  # tokens


class Corpus(NamedTuple):
  """Texts as rows of tokens.

  Attributes:
    tokens: of texts to learn from, int32 `[n, length]`.
    held_out: of texts to compare with, int32 `[m, length]`.
    vocabulary: each token in words; the end of a text, number 0, has none.
    words: whether tokens are words; else characters.
    left_out: how many texts of the file were longer.
  """

  tokens: np.ndarray
  held_out: np.ndarray
  vocabulary: tuple[str, ...]
  words: bool
  left_out: int

  def split(self, tokens: np.ndarray) -> list[tuple[str, ...]]:
    """Rows of tokens as sequences of words or characters, to their ends."""
    ended = np.concatenate([tokens, np.full((len(tokens), 1), _END)], 1) == _END
    return [
      tuple(self.vocabulary[token] for token in row[:end])
      for row, end in zip(tokens.tolist(), ended.argmax(1), strict=True)
    ]

  def decode(self, tokens: np.ndarray) -> list[str]:
    """Rows of tokens as texts."""
    between = ' ' if self.words else ''
    return [between.join(parts) for parts in self.split(tokens)]


def read_texts(
  path: str | os.PathLike,
  *,
  words: bool = False,
  length: int = 0,
  most: int = 5000,
) -> Corpus:
  """Reads a file of texts, a line each, or its gzip.

  Blank lines do not count, nor does white space at the ends of a line, nor, of
  words, how much of it is between them. A tenth of the texts is held out, the
  same in each reading; so that none of it is learned by heart, texts that occur
  more than once are all on one side.

  Args:
    path: the file, in UTF-8.
    words: tokens are words, what is between white space; else characters.
    length: tokens of the longest text; longer ones are left out. 0 for as many
      as the longest has.
    most: tokens of the vocabulary, the end apart: the most frequent of the
      texts to learn from. Others become `UNKNOWN`.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no text in UTF-8 or a broken gzip, has less than ten
      different texts that are short enough, or needs more tokens than 200.
  """
  lines = [line.split() if words else line for line in _lines(path)]
  longest = max(map(len, lines))
  if not length and longest > _LONGEST:
    raise ValueError(
      f'text: the longest line of {path} has {longest} '
      f'{"words" if words else "characters"}, more than {_LONGEST}. Give '
      '--length, longer ones are left out; or put a text on each line.'
    )
  length = length or longest
  texts = [tuple(line) for line in lines if len(line) <= length]
  different = sorted(set(texts))
  count = len(different)
  if count < _HELD_OUT:
    raise ValueError(
      f'text: {path} has {counted(count, "different text")} of at most '
      f'{counted(length, "token")}; needs {_HELD_OUT} or more, a line each.'
    )
  order = np.random.default_rng(0).permutation(len(different))
  held_out = {different[i] for i in order[: len(different) // _HELD_OUT]}
  learned = [text for text in texts if text not in held_out]
  counts = Counter(token for text in learned for token in text)
  # By frequency, and equals by themselves: the same in every reading.
  known = sorted(counts, key=lambda token: (-counts[token], token))[:most]
  kept = [text for text in texts if text in held_out]
  rare = set(counts) | {token for text in kept for token in text}
  vocabulary = ('', *known, *[UNKNOWN] * (not rare <= set(known)))
  numbers = {token: i for i, token in enumerate(vocabulary) if i}

  def rows(texts):
    tokens = np.full((len(texts), length), _END, np.int32)
    for row, text in zip(tokens, texts, strict=True):
      row[: len(text)] = [
        numbers.get(token, len(vocabulary) - 1) for token in text
      ]
    return tokens

  left_out = len(lines) - len(texts)
  return Corpus(rows(learned), rows(kept), vocabulary, words, left_out)


def _lines(path: str | os.PathLike) -> Sequence[str]:
  """The lines of a file that are not blank."""
  if not os.fspath(path):
    raise FileNotFoundError('text: needs the path of a file, a text a line.')
  path = os.path.expanduser(path)  # a shell leaves the ~ of --path=~/texts
  if not os.path.isfile(path):
    raise FileNotFoundError(f'text: there is no file {path}.')
  with open(path, 'rb') as file:
    content = file.read()
  try:
    if content.startswith(b'\x1f\x8b'):
      content = gzip.decompress(content)
    text = content.decode('utf-8-sig')
  except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
    raise ValueError(
      f'text: {path} is no text in UTF-8, nor its gzip: {error}'
    ) from error
  lines = [line.strip() for line in text.splitlines()]
  lines = [line for line in lines if line]
  if not lines:
    raise ValueError(f'text: {path} holds no text; needs one a line.')
  return lines
