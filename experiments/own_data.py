"""Runs of the user's own files: what those were is one of a run's numbers.

A `Config` of one file or of folders keeps a digest of them, by which a run
neither goes on nor is scored with other data than it began with.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from experiments import config, data
from experiments.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfFile(config.Config):
  """The numbers of an experiment whose data are one file.

  What such a run learns is of the file as it was, from the order of a
  vocabulary to the units of a number. So its SHA-256 is one of the numbers, and
  a run neither goes on nor writes samples with another file. One that is not
  there is left for its reader to tell of. ValueError: it is a folder.
  """

  path: str = ''
  """the file of the data"""
  sha256: str = ''
  """of the file; filled in by itself"""

  def __post_init__(self):
    super().__post_init__()
    there = self.path and os.path.exists(os.path.expanduser(self.path))
    if there and not self.sha256:
      object.__setattr__(self, 'sha256', data.digest(self.path))


def check_file(path: str, sha256: str) -> None:
  """ValueError: the file at a path, if one is given, has another SHA-256."""
  if path and data.digest(path) != sha256:
    raise ValueError(
      f'{path} has changed since the run began: its SHA-256 was {sha256}. What '
      'the networks learned is of the file as it was. To begin anew with the '
      'file as it is: another --workdir, and --sha256= where --config is given'
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfFolders(config.Config):
  """The numbers of an experiment whose data are folders of files.

  Which files there are, and their names, decide what a label means, what is
  held out and what a batch holds. So `experiments.data.contents` of them is one
  of the numbers, and a run neither goes on nor is scored with others. A folder
  that is not there is left for its reader to tell of. FOLDERS names the entries
  that are folders.
  """

  FOLDERS: ClassVar[tuple[str, ...]] = ('path',)
  contents: str = ''
  """of the data; filled in by itself"""

  def __post_init__(self):
    super().__post_init__()
    if not self.contents:
      object.__setattr__(self, 'contents', data.contents(self.folders))

  @property
  def folders(self) -> tuple[str, ...]:
    """Where the data are; empty ones are not used."""
    return tuple(getattr(self, name) for name in self.FOLDERS)


def check_contents(folders: Sequence[str], contents: str) -> None:
  """ValueError: folders that are there have other `data.contents`."""
  now = data.contents(folders)
  if now and now != contents:
    raise ValueError(
      f'{" or ".join(filter(None, folders))} has changed since the run began: '
      f'{contents} then, {now} now. What the networks learned is of the files '
      'as they were. Put them back; or, to begin anew with those that are '
      'there: another --workdir, and --contents= where --config is given'
    )


def check_apart(run: config.Run) -> None:
  """UserError: the workdir is in a folder of the data, to which it adds."""
  if not isinstance(run.config, OfFolders):
    return
  for folder in filter(None, run.config.folders):
    above = Path(os.path.expanduser(folder)).resolve()
    workdir = run.workdir.resolve()
    if not workdir.is_relative_to(above):
      continue
    # What is hidden is not read.
    if not any(x.startswith('.') for x in workdir.relative_to(above).parts):
      raise UserError(
        f'--workdir={run.workdir} lies in {folder}, so that samples of the run '
        'would be taken for its data. Give one beside it, or move the run there'
      )
