"""The numbers of a run: read from the command line, kept in its workdir.

Flags make one frozen dataclass, a `Config` of the experiment named among them;
`config.json` in the workdir repeats the run, and guards it against another.
"""

import contextlib
import dataclasses
import difflib
import functools
import json
import math
import os
import tempfile
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import (
  Annotated,
  Any,
  Generic,
  Literal,
  NamedTuple,
  TypeVar,
  Union,
)

import jax.numpy as jnp
import tyro
from jax.typing import DTypeLike

from experiments.errors import UserError, building
from experiments.files import write_json

FILE = 'config.json'
# In a workdir.
_FOLDERS = ('samples', 'checkpoints', 'best')
_FILES = (FILE, 'batch.json', 'metrics.jsonl', 'reals.png')
# What may change when a run goes on: how long it is, how often it tells of
# itself, where its data lie, what it keeps in memory. The rest would make it
# another run.
FREE = (
  'steps',
  'log_every',
  'sample_every',
  'save_every',
  'evaluate_every',
  'best_by',
  'keep',
  'data_dir',
  'steps_per_dispatch',
  'rematerialize',
)
_FROM_0 = {'evaluate_every', 'steps_per_dispatch'}
_SHARES = {'dropout', 'ema_decay', 'mix'}
_MOMENTUMS = {'b1', 'b2'}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """The numbers that every experiment has; each experiment adds its own.

  The line under a number is its help, also where a subclass changes the
  default. Help of 30 characters, and `--flag TYPE` of 24, keep a line each.
  ValueError: a number that is out of range: a whole one below 1 where it is one
  of these, a width or the size of a latent; a share or a decay above 1, Adam's
  b1 or b2 of 1 too; any other below 0, but for what a discriminator's output is
  to be, or not finite; of the seed see `check_seed`.
  """

  steps: int
  """steps of training in all"""
  batch_size: int
  """examples in a step, on all devices"""
  seed: int = 0
  """decides every random draw"""
  log_every: int = 100
  """steps between lines of metrics"""
  sample_every: int = 500
  """steps between grids of samples"""
  save_every: int = 500
  """steps between checkpoints"""
  evaluate_every: int = 0
  """steps between scores; 0 for none"""
  best_by: str = 'frechet_distance'
  """the score for best/"""
  keep: int = 2
  """newest checkpoints kept"""
  steps_per_dispatch: int = 0
  """0: 10, and 1 on CPUs"""
  microbatches: int = 1
  """parts of a batch, in turn"""
  rematerialize: tyro.conf.FlagCreatePairsOff[bool] = False
  """less memory, more arithmetic"""
  bfloat16: tyro.conf.FlagCreatePairsOff[bool] = False
  """compute in it; params float32"""

  def __post_init__(self):
    own = {field.name for field in dataclasses.fields(Config)} - _FROM_0
    for field in dataclasses.fields(self):
      name, value = field.name, getattr(self, field.name)
      least = int(name in own or name.endswith(('width', 'latent_dim')))
      flag = '--' + name.replace('_', '-')
      if name == 'seed':
        check_seed(value)
      elif name in _SHARES and not 0 <= value <= 1:
        raise ValueError(f'{flag} must be from 0 to 1, got {value}')
      elif name in _MOMENTUMS and not 0 <= value < 1:
        raise ValueError(f'{flag} must be from 0 to below 1, got {value}')
      elif type(value) is int and value < least:
        raise ValueError(f'{flag} must be {least} or more, got {value}')
      elif type(value) is not float or name.endswith('_label'):
        continue
      elif not 0 <= value < math.inf:
        raise ValueError(f'{flag} must be 0 or more, got {value}')

  @property
  def dtype(self) -> DTypeLike:
    """Of the computation."""
    return jnp.bfloat16 if self.bfloat16 else jnp.float32


def check_seed(seed: int) -> None:
  """ValueError: below 0, or of more bits than jax keeps."""
  if not 0 <= seed < 2**31:
    raise ValueError(f'--seed must be from 0 to {2**31 - 1}, got {seed}')


class Run(NamedTuple):
  """What a command was asked to do: which experiment, where, how.

  Attributes:
    name: of the experiment.
    workdir: where all is kept.
    config: its numbers.
    distributed: whether there are other processes to join.
  """

  name: str
  workdir: Path
  config: Config
  distributed: bool = False


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
  stored = None if file is None else _read(_path(file), experiments)
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
    _check_name(name, experiments)
  if len(names) > 1:
    raise UserError(f'one experiment at a time, got {" and ".join(names)}')
  return names[0] if names else None


def _check_name(name: str, experiments: Mapping[str, ModuleType]) -> None:
  if name not in experiments:
    near = difflib.get_close_matches(name, experiments, n=1, cutoff=0.4)
    guess = f'; did you mean {near[0]}?' if near else '.'
    raise UserError(
      f'there is no experiment {name!r}{guess} All experiments: --list'
    )


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


def save(run: Run) -> None:
  """Writes the experiment's name and numbers to the workdir's config.json."""
  numbers = dataclasses.asdict(run.config)
  write_json(run.workdir / FILE, {'experiment': run.name, 'config': numbers})


def same_everywhere(run: Run) -> dict[str, Any]:
  """What all processes of a run must be given alike; tfds may lie elsewhere."""
  numbers = dataclasses.asdict(run.config)
  numbers.pop('data_dir', None)
  return {'experiment': run.name} | numbers


def load(workdir: Path, experiments: Mapping[str, ModuleType]) -> Run:
  """The run that is kept in a workdir. UserError: none is, or a broken one."""
  if not os.path.exists(workdir / FILE):
    raise UserError(f'{workdir} holds no run: it has no {FILE}')
  return _read(workdir / FILE, experiments)


def check_resume(run: Run) -> None:
  """Raises a UserError where the workdir holds a run with other numbers.

  Among them is what the data were, see `experiments.own_data`.
  """
  path = run.workdir / FILE
  if not os.path.exists(path):
    return
  name, values = _read_values(path)
  there, given = {'experiment': name}, {'experiment': run.name}
  if name == run.name:
    there |= dataclasses.asdict(_config(type(run.config), values, path))
    given |= dataclasses.asdict(run.config)
  for of_data in ('contents', 'sha256'):
    if not given.get(of_data):  # none are there, as their reader will tell
      there.pop(of_data, None)
  others = [k for k in there if k not in FREE and there[k] != given[k]]
  lines = [f'  {k}: {there[k]!r} there, {given[k]!r} given' for k in others]
  if others in (['sha256'], ['contents']):
    raise UserError(
      '\n'.join([f'the data of {run.workdir} have changed:', *lines])
      + '\nPut back what was there, or begin anew in another --workdir.'
    )
  if lines:
    raise UserError(
      '\n'.join([f'{run.workdir} holds another run:', *lines])
      + '\nGive another --workdir, or the flags of the run that is there.'
    )


def writable(workdir: Path) -> None:
  """Makes the workdir.

  UserError: it cannot be made, or not written to; or what is no folder has the
  name of one of a run's in it, or a folder that of a file.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=workdir).close()
  except OSError as error:
    raise UserError(
      f'--workdir={workdir} cannot be written to ({error.strerror}); '
      'it must be a folder, or a path where one can be made'
    ) from error
  for path in (workdir / name for name in _FOLDERS):
    if os.path.lexists(path) and not path.is_dir():
      raise UserError(
        f'{path} is in the way: a run has a folder of that name. Move it away, '
        'mend it if it is a link, or give another --workdir'
      )
  for path in (workdir / name for name in _FILES):
    if path.is_dir():
      raise UserError(
        f'{path} is in the way: a run has a file of that name. Move it away, '
        'or give another --workdir'
      )


def _read(path: Path, experiments: Mapping[str, ModuleType]) -> Run:
  """The run whose config.json this is."""
  name, values = _read_values(path)
  _check_name(name, experiments)
  config = _config(experiments[name].Config, values, path)
  return Run(name, path.parent, config)


def _read_values(path: Path) -> tuple[str, dict[str, Any]]:
  """The two entries of a config.json, whatever experiment they are of."""
  try:
    stored = json.loads(path.read_text())
  except OSError as error:
    raise UserError(f'{path} cannot be read: {error.strerror}') from error
  except ValueError as error:
    raise UserError(f'{path} is not JSON: {error}') from error
  match stored:
    case {'experiment': str(name), 'config': dict(values)} if len(stored) == 2:
      return name, values
  raise UserError(
    f'{path} is no config of a run: '
    'expected {"experiment": "a name", "config": {...}} and nothing else'
  )


def _config(kind: type[C], values: Mapping[str, Any], path: Path) -> C:
  """Builds a config from JSON values; what the file lacks takes its default."""
  hints = typing.get_type_hints(kind)
  fields = {field.name for field in dataclasses.fields(kind)}
  if unknown := values.keys() - fields:
    raise UserError(f'{path}: no such entry: {", ".join(sorted(unknown))}')
  try:
    return kind(**{k: _converted(k, hints[k], v) for k, v in values.items()})
  except (OSError, TypeError, ValueError) as error:
    raise UserError(f'{path}: {error}') from error


def _converted(name: str, hint: Any, value: Any) -> Any:
  """A JSON value as a field's type. ValueError: it is of another."""
  origin, options = typing.get_origin(hint), typing.get_args(hint)
  if origin in (Union, types.UnionType):
    for option in options:
      with contextlib.suppress(ValueError):
        return _converted(name, option, value)
  elif origin is tuple and isinstance(value, list):
    kinds = options[:1] * len(value) if options[-1] is ... else options
    if len(kinds) == len(value):
      return tuple(map(functools.partial(_converted, name), kinds, value))
  elif hint is float and type(value) is int:
    return float(value)
  elif type(value) is hint or (origin is Literal and value in options):
    return value
  needed = hint.__name__ if isinstance(hint, type) else hint
  raise ValueError(f'{name} must be {needed}, got {value!r}')
