"""What a workdir keeps of a run: `config.json`, which repeats and guards it."""

import contextlib
import dataclasses
import difflib
import functools
import json
import os
import tempfile
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, Union

from experiments.config import Config, Run
from experiments.errors import UserError
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

C = TypeVar('C', bound=Config)


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
  return read(workdir / FILE, experiments)


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


def read(path: Path, experiments: Mapping[str, ModuleType]) -> Run:
  """The run whose config.json this is. UserError: it is no run's."""
  name, values = _read_values(path)
  check_name(name, experiments)
  config = _config(experiments[name].Config, values, path)
  return Run(name, path.parent, config)


def check_name(name: str, experiments: Mapping[str, ModuleType]) -> None:
  """UserError: there is no such experiment."""
  if name not in experiments:
    near = difflib.get_close_matches(name, experiments, n=1, cutoff=0.4)
    guess = f'; did you mean {near[0]}?' if near else '.'
    raise UserError(
      f'there is no experiment {name!r}{guess} All experiments: --list'
    )


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
