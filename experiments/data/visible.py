"""What lies in a folder of the user's, and in the folders within it."""

import os
from collections.abc import Iterator
from pathlib import Path


def visible(path: str | os.PathLike) -> Iterator[tuple[str, list[str]]]:
  """Each folder from `path` down, and the names of the files that lie in it.

  What is hidden (a name with a leading dot) is passed over. Links are followed,
  but for one to a folder that it lies in, by which there would be no end.

  Raises:
    OSError: a folder cannot be read, which `os.walk` would pass over.
  """
  for parent, folders, names in os.walk(path, onerror=_raise, followlinks=True):
    folders[:] = [
      name
      for name in folders
      if not name.startswith('.') and not _leads_back(Path(parent, name))
    ]
    yield parent, [name for name in names if not name.startswith('.')]


def _leads_back(folder):
  """Whether a folder is a link to one of those that it was reached by."""
  above = Path(os.path.abspath(folder)).parents
  return folder.is_symlink() and os.path.realpath(folder) in map(
    os.path.realpath, above
  )


def _raise(error: OSError):
  raise error
