"""Flags of a command, and an experiment's name among them, to a run.

They make one frozen dataclass, the `Config` of the experiment.
"""

import dataclasses
import math
import os
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Generic, TypeVar

import tyro

from experiments import kept
from experiments.config import Config, Run
from experiments.errors import UserError, building

C = TypeVar('C', bound=Config)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Place:
  """The flags that are no part of a config."""

  workdir: Annotated[
    str | None, tyro.conf.arg(metavar='DIR', help_behavior_hint='(required)')
  ] = None
  """where the run is kept, and goes on"""
  config: Annotated[
    str | None, tyro.conf.arg(metavar='FILE', help_behavior_hint='')
  ] = None
  """config.json of a run to repeat; flags prevail"""
  distributed: tyro.conf.FlagCreatePairsOff[bool] = False
  """join the run's other processes"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Command(_Place, Generic[C]):
  """All flags of one experiment; the empty name puts them in one box."""

  numbers: Annotated[C, tyro.conf.arg(name='')]


def parse(
  argv: Sequence[str],
  experiments: Mapping[str, ModuleType],
  default: str,
  program: str = 'python -m experiments.train',
) -> Run:
  """Reads a command line: flags and an experiment's name, in any order.

  Args:
    argv: the words after the command.
    experiments: by name, modules with a `Config`; a module's docstring opens
      its help.
    default: the experiment's name where none is given.
    program: what help calls the command.

  Raises:
    UserError: a name, a value or a file is wrong, or --workdir is missing.
    SystemExit: help or the list of experiments was asked for (0), or tyro
      refused a flag (2).
  """
  if '--list' in argv:
    print(listing(experiments))
    raise SystemExit(0)
  place, rest = tyro.cli(
    _Place, args=argv, prog=program, add_help=False, return_unknown_args=True
  )
  names, flags = _split(rest, experiments)
  file = place.config
  stored = None if file is None else kept.read(_path(file), experiments)
  name = _named(names, experiments) or (stored.name if stored else default)
  if stored and name != stored.name:
    raise UserError(f'--config={file} is a run of {stored.name}, not of {name}')
  if not place.workdir and not {'-h', '--help'} & set(flags):
    raise UserError('--workdir is missing; for example --workdir=runs/first')
  with building():
    command = tyro.cli(
      _Command[experiments[name].Config],
      args=flags,
      prog=f'{program} {name}',
      description=_description(name, experiments),
      default=_Command(
        numbers=stored.config if stored else tyro.MISSING_NONPROP
      ),
    )
  return Run(name, _path(place.workdir), command.numbers, place.distributed)


def _split(
  args: Iterable[str], experiments: Mapping[str, ModuleType]
) -> tuple[list[str], list[str]]:
  """Parts the words that belong to no flag from the flags and their values.

  An experiment's name is a value only directly after a flag that takes one:
  `--betas 0.5 0.9 digits` and `--mirror digits` name the digits.
  """
  room_of = {'h': 0, 'help': 0}
  for experiment in experiments.values():
    for name, hint in typing.get_type_hints(experiment.Config).items():
      kinds = (hint, *typing.get_args(hint))
      several = any(typing.get_origin(kind) is tuple for kind in kinds)
      room = 0 if hint is bool else math.inf if several else 1
      # A flag may take one value here and several there.
      room_of |= {name: max(room, room_of.get(name, 0)), f'no_{name}': 0}
  words, flags, taken, room = [], [], 0, 0
  for arg in args:
    if arg.startswith('--') or arg == '-h':
      field = arg.lstrip('-').replace('-', '_')
      taken, room = 0, 0 if '=' in arg else room_of.get(field, 1)
    elif taken < room and (taken == 0 or arg not in experiments):
      taken += 1
    else:
      words.append(arg)
      continue
    flags.append(arg)
  return words, flags


def _path(text: str) -> Path:
  # A shell leaves the tilde of --workdir=~/run as it is.
  return Path(os.path.expanduser(text))


def _named(
  names: Sequence[str], experiments: Mapping[str, ModuleType]
) -> str | None:
  """The one experiment among the words of a command line, if any."""
  for name in names:
    kept.check_name(name, experiments)
  if len(names) > 1:
    raise UserError(f'one experiment at a time, got {" and ".join(names)}')
  return names[0] if names else None


def listing(experiments: Mapping[str, ModuleType]) -> str:
  """The experiments, each with what it says of itself first."""
  column = max(map(len, experiments)) + 2
  return '\n'.join(
    textwrap.fill(
      f'{name:{column}}{_opening(name, experiment)}',
      80,
      subsequent_indent=' ' * column,
      break_on_hyphens=False,
    )
    for name, experiment in experiments.items()
  )


def _description(name: str, experiments: Mapping[str, ModuleType]) -> str:
  # tyro joins lines, unless they are indented.
  return f'{_opening(name, experiments[name])}\n Other experiments: --list'


def _opening(name: str, experiment: ModuleType) -> str:
  """The first paragraph of an experiment's docstring, on one line."""
  text = (experiment.__doc__ or name).strip().partition('\n\n')[0]
  return ' '.join(text.split())
