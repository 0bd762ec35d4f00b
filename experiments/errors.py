"""What a user is told: mistakes in a line and an exit status, no traceback."""

import contextlib
import errno
import sys
from collections.abc import Iterator


class UserError(Exception):
  """What the user asked for cannot be done; the message says what can."""


def counted(count: int, noun: str) -> str:
  """`1 step`, `3,000 steps`, `2 classes`: the noun as its number has it."""
  plural = 'es' if noun.endswith('s') else 's'
  return f'{count:,} {noun}{plural * (count != 1)}'


_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def reported() -> Iterator[None]:
  """Prints a UserError to stderr as `error: ...` and exits with status 2.

  A full disk likewise. Around the body of a command, or as a decorator:
  `@reported()`.
  """
  try:
    yield
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    raise SystemExit(2) from error
  except OSError as error:
    if error.errno not in _FULL:
      raise
    print(
      f'error: {error.strerror}; make room, then give the same command again',
      file=sys.stderr,
    )
    raise SystemExit(2) from error


@contextlib.contextmanager
def building() -> Iterator[None]:
  """Makes a UserError of a ValueError or an OSError, its message kept.

  Around what is built from the user's numbers and files: there such an error is
  about them. In the training loop it would be a bug, and wants its traceback.
  What the system says of a file is put into words, but for a full disk, of
  which `reported` tells.
  """
  try:
    yield
  except ValueError as error:
    raise UserError(str(error)) from error
  except OSError as error:
    if error.errno in _FULL:
      raise
    raise UserError(_told(error)) from error


def _told(error: OSError) -> str:
  if error.errno is None or error.filename is None:
    return str(error)  # the program's own words
  path = error.filename2 or error.filename  # of two, what is written
  return (
    f'{path}: {error.strerror}. Give a path that is there and may be read; or, '
    'for what is written, one in a folder that may be written to'
  )
