"""What tells the data of a user's folders from others, without reading them."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from experiments.data.clips import ANIMATIONS
from experiments.data.folder import SUFFIXES
from experiments.data.visible import visible

_READ = (*SUFFIXES, *ANIMATIONS, '.wav')


def contents(paths: Iterable[str | os.PathLike]) -> str:
  """How many files of pictures and sounds there are, and a SHA-256 of them.

  Of the files under a folder their names in it and their sizes, not what is in
  them: the folder may lie elsewhere, and one that was replaced by another of
  the same size is not noticed. Of an archive its content.

  Args:
    paths: folders or archives; what is empty is passed over.

  Returns:
    The same text for the same data; '' where nothing is named, or not there.

  Raises:
    OSError: a folder cannot be read.
  """
  named = [Path(os.path.expanduser(path)) for path in paths if os.fspath(path)]
  if not named or not all(path.exists() for path in named):
    return ''
  digest, count = hashlib.sha256(), 0
  for path in named:
    entries = sorted(_under(path)) if path.is_dir() else [_of_archive(path)]
    digest.update(f'{len(entries)}\n'.encode())
    for name, size in entries:
      digest.update(name + f'\0{size}\n'.encode())
    count += len(entries)
  return f'files: {count}, SHA-256: {digest.hexdigest()}'


def _under(folder: Path) -> Iterator[tuple[bytes, int]]:
  for parent, names in visible(folder):
    for file in (Path(parent, name) for name in names):
      if file.name.lower().endswith(_READ) and file.is_file():
        name = file.relative_to(folder).as_posix()
        yield os.fsencode(name), file.stat().st_size


def _of_archive(path: Path) -> tuple[bytes, int]:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').digest(), path.stat().st_size
