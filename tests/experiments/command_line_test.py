"""Tests of flags, help and --config, and of how mistakes in them are told."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy_experiments import EXPERIMENTS, Digits, Folder, refusal

from experiments import command_line, kept, train


def parse(line):
  return command_line.parse(line.split(), EXPERIMENTS, 'digits')


def tyro_refusal(line, capsys):
  with pytest.raises(SystemExit) as stopped:
    parse(line)
  assert stopped.value.code == 2
  out, err = capsys.readouterr()
  assert out == ''
  assert '\x1b' not in err
  return err


@pytest.fixture
def stored(tmp_path):
  """Writes a config.json with the given entries, and returns its path."""

  def write(entries):
    path = tmp_path / 'old.json'
    path.write_text(entries if type(entries) is str else json.dumps(entries))
    return path

  return write


# ------------------------------------------------------------ names and flags


def test_defaults_are_the_default_experiments():
  run = parse('--workdir=/tmp/run')
  assert run == ('digits', Path('/tmp/run'), Digits(), False)
  assert type(run.config) is Digits


@pytest.mark.parametrize(
  'line',
  [
    'mnist-dcgan --workdir=w --batch-size=8 --mirror',
    '--workdir=w mnist-dcgan --batch_size=8 --mirror',
    '--workdir w --batch-size 8 --mirror mnist-dcgan',
    '--mirror mnist-dcgan --workdir w --batch-size 8',
    '--batch-size 8 mnist-dcgan --mirror --workdir w',
    '--no-mirror mnist-dcgan --workdir w --mirror --batch-size=8',
  ],
)
def test_name_stands_anywhere_among_the_flags(line):
  expected = Digits(batch_size=8, mirror=True)
  assert parse(line) == ('mnist-dcgan', Path('w'), expected, False)


def test_name_follows_a_flag_with_several_values():
  run = parse('--path a --betas 0 0.9 folder --workdir w --widths 8 4 2')
  assert run.name == 'folder'
  assert run.config == Folder(path='a', betas=(0.0, 0.9), widths=(8, 4, 2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Square(Digits):
  resolution: int = 32  # a side


@dataclasses.dataclass(frozen=True, kw_only=True)
class Oblong(Digits):
  resolution: int | tuple[int, int] = 32  # height and width, or a side
  levels: tuple[int, int] | None = None  # black and white


@pytest.mark.parametrize('names', [('oblong', 'square'), ('square', 'oblong')])
def test_a_flag_may_have_one_value_or_two(names, tmp_path):
  """Also where another experiment's flag of the name has one alone."""
  kinds = {'oblong': Oblong, 'square': Square}
  known = {name: SimpleNamespace(Config=kinds[name]) for name in names}
  for words, resolution in (
    ('--resolution 64 48 oblong', (64, 48)),
    ('oblong --resolution=64', 64),
    ('--resolution 64 oblong', 64),
    ('oblong --resolution 64 48 --levels 0 4095 --mirror', (64, 48)),
  ):
    words = [*words.split(), f'--workdir={tmp_path}']
    run = command_line.parse(words, known, 'square')
    assert run.name == 'oblong'
    assert run.config.resolution == resolution
    assert run.config.levels == ((0, 4095) if '--levels' in words else None)
    kept.save(run)
    assert kept.load(tmp_path, known).config == run.config


def test_a_value_may_be_an_experiments_name():
  run = parse('folder --workdir digits --path mnist-dcgan')
  assert run.name == 'folder'
  assert run.workdir == Path('digits')
  assert run.config.path == 'mnist-dcgan'


def test_home_is_expanded_in_the_workdir(monkeypatch):
  monkeypatch.setenv('HOME', '/home/ada')
  assert parse('--workdir=~/run').workdir == Path('/home/ada/run')


def test_a_negative_number_is_a_value():
  argv = ['--workdir=w', 'mnist-lsgan', '--fake-label', '-1']
  run = command_line.parse(argv, train.EXPERIMENTS, 'digits')
  assert run.config.fake_label == -1


def test_mistyped_name_gets_the_nearest_and_all():
  message = refusal(parse, 'mnist-dgan --workdir=w')
  assert "'mnist-dgan'; did you mean mnist-dcgan?" in message
  assert 'All experiments: --list' in message


def test_a_name_like_none_gets_all_names():
  message = refusal(parse, '--workdir=w --batch-size 8 zzz')
  assert 'did you mean' not in message
  assert "'zzz'. All experiments: --list" in message


def test_two_names_are_refused():
  message = refusal(parse, 'digits --workdir=w folder')
  assert message == 'one experiment at a time, got digits and folder'


@pytest.mark.parametrize('line', ['digits', '--steps=5', '--workdir='])
def test_missing_workdir_is_told_with_an_example(line):
  message = refusal(parse, line)
  assert message == '--workdir is missing; for example --workdir=runs/first'


@pytest.mark.parametrize(
  'flag', ['--batchsize=3', '--batchsize 3', '--batch 3']
)
def test_unknown_flag_gets_the_nearest(flag, capsys):
  told = tyro_refusal(f'--workdir=w {flag}', capsys)
  assert 'Unrecognized options: --batch' in told
  assert '--batch-size INT' in told


def test_flag_of_another_experiment_is_unknown(capsys):
  told = tyro_refusal('mnist-dcgan --workdir=w --betas 1 2', capsys)
  assert '--betas' in told
  assert 'python -m experiments.train mnist-dcgan --help' in told


def test_value_of_a_wrong_type_is_refused_with_its_flag(capsys):
  assert '--steps: invalid' in tyro_refusal('--workdir=w --steps=x', capsys)


def test_required_number_is_asked_for(capsys):
  assert '--path' in tyro_refusal('folder --workdir=w', capsys)


@pytest.mark.parametrize(
  'name',
  ['steps', 'batch_size', 'log_every', 'sample_every', 'save_every', 'keep'],
)
def test_numbers_below_one_are_refused_by_flag(name):
  flag = '--' + name.replace('_', '-')
  message = f'{flag} must be 1 or more, got 0'
  assert refusal(parse, f'--workdir=w {flag}=0') == message
  with pytest.raises(ValueError, match=message):
    Digits(**{name: 0})


# ----------------------------------------------------------------------- help


def help_lines(line, capsys, monkeypatch):
  monkeypatch.setenv('COLUMNS', '80')
  with pytest.raises(SystemExit) as stopped:
    parse(line)
  assert stopped.value.code == 0
  out, err = capsys.readouterr()
  assert err == ''
  assert '\x1b' not in out
  return out.splitlines()


@pytest.mark.parametrize('line', ['--help', '-h', '--help digits', 'digits -h'])
def test_help_fits_a_screen_and_explains_every_flag(line, capsys, monkeypatch):
  lines = help_lines(line, capsys, monkeypatch)
  assert len(lines) <= 30
  assert max(map(len, lines)) <= 80
  assert 'A DCGAN on digits.' in lines
  assert ' Other experiments: --list' in lines
  fields = [field.name for field in dataclasses.fields(Digits)]
  for name in ['workdir', 'config', *fields]:
    flag = name.replace('_', '-')
    (row,) = [r for r in lines if re.search(rf' --{flag}[ ,]', r)]
    assert len(row.strip('│| ').split()) >= 5, row  # its help stands beside it


def test_help_keeps_the_common_words_and_shows_the_own_defaults(
  capsys, monkeypatch
):
  text = '\n'.join(help_lines('--help', capsys, monkeypatch))
  assert 'steps of training in all (default: 3000)' in text
  assert 'numbers in a latent (default: 64)' in text
  assert '(required)' in text


def test_help_of_a_named_experiment(capsys, monkeypatch):
  lines = help_lines('--help folder --workdir=w', capsys, monkeypatch)
  assert lines[0].startswith('usage: python -m experiments.train folder ')
  assert 'Your own pictures.' in lines


def test_the_list_names_every_experiment_and_says_what_it_is(
  capsys, monkeypatch
):
  lines = help_lines('--list', capsys, monkeypatch)
  assert lines == [
    'digits       A DCGAN on digits.',
    'mnist-dcgan  mnist-dcgan',
    'folder       Your own pictures.',
  ]


def test_the_list_of_the_real_experiments_fits_the_width():
  lines = command_line.listing(train.EXPERIMENTS).splitlines()
  assert max(map(len, lines)) <= 80
  named = [line.split()[0] for line in lines if not line.startswith(' ')]
  assert named == list(train.EXPERIMENTS)


# ------------------------------------------------------------- --config=FILE


def test_config_file_gives_the_defaults_and_flags_prevail(stored):
  values = {'steps': 7, 'learning_rate': 1, 'mirror': True}
  path = stored({'experiment': 'mnist-dcgan', 'config': values})
  run = parse(f'--steps=9 --config={path} --workdir=new --no-mirror')
  expected = Digits(steps=9, learning_rate=1.0)
  assert run == ('mnist-dcgan', Path('new'), expected, False)
  assert type(run.config.learning_rate) is float


def test_config_file_supplies_required_numbers_and_tuples(stored):
  values = {'path': 'a', 'betas': [0, 0.9], 'widths': [8, 4, 2]}
  path = stored({'experiment': 'folder', 'config': values})
  run = parse(f'--workdir=w folder --config {path}')
  assert run.config == Folder(path='a', betas=(0.0, 0.9), widths=(8, 4, 2))
  assert type(run.config.betas[0]) is float


def test_config_file_of_another_experiment_is_refused(stored):
  path = stored({'experiment': 'digits', 'config': {}})
  message = refusal(parse, f'folder --workdir=w --config={path}')
  assert message == f'--config={path} is a run of digits, not of folder'


def test_config_file_never_gives_the_workdir(stored):
  path = stored({'experiment': 'digits', 'config': {}})
  assert '--workdir is missing' in refusal(parse, f'--config={path}')
  path = stored({'experiment': 'digits', 'config': {'workdir': 'w'}})
  assert 'no such entry: workdir' in refusal(parse, f'--config={path}')


@pytest.mark.parametrize(
  ('values', 'told'),
  [
    ({'stepz': 1, 'a': 2}, 'no such entry: a, stepz'),
    ({'steps': '8'}, "steps must be int, got '8'"),
    ({'steps': 8.0}, 'steps must be int, got 8.0'),
    ({'steps': True}, 'steps must be int, got True'),
    ({'path': 'a', 'steps': 0}, '--steps must be 1 or more, got 0'),
    ({'flip': 1}, 'flip must be bool, got 1'),
    ({'path': None}, 'path must be str, got None'),
    ({'loss': 'hing'}, "loss must be typing.Literal['hinge', 'minimax'], got"),
    ({'betas': [1]}, 'betas must be tuple[float, float], got [1]'),
    ({'betas': ['a', 1]}, "betas must be float, got 'a'"),
    ({'widths': 8}, 'widths must be tuple[int, ...], got 8'),
    ({}, "'path'"),
  ],
)
def test_config_file_with_wrong_entries_is_refused_by_name(
  stored, values, told
):
  path = stored({'experiment': 'folder', 'config': values})
  message = refusal(parse, f'--workdir=w --config={path}')
  assert message.startswith(f'{path}: ')
  assert told in message


def test_optional_entries_hold_none_or_a_value(stored):
  for value, told in [(None, None), ('a', 'a')]:
    entry = {'experiment': 'digits', 'config': {'data_dir': value}}
    run = parse(f'--workdir=w --config={stored(entry)}')
    assert run.config.data_dir == told
  entry = {'experiment': 'digits', 'config': {'data_dir': 3}}
  message = refusal(parse, f'--workdir=w --config={stored(entry)}')
  assert 'data_dir must be str | None, got 3' in message


@pytest.mark.parametrize(
  'entries',
  [
    [],
    {'config': {}},
    {'experiment': 3, 'config': {}},
    {'experiment': 'digits', 'config': []},
    {'experiment': 'digits', 'config': {}, 'workdir': 'w'},
  ],
)
def test_json_that_is_no_config_is_refused(stored, entries):
  message = refusal(parse, f'--workdir=w --config={stored(entries)}')
  assert 'expected {"experiment": "a name", "config": {...}}' in message


def test_config_file_that_cannot_be_read_is_refused(stored, tmp_path):
  missing = tmp_path / 'missing.json'
  message = refusal(parse, f'--workdir=w --config={missing}')
  assert message == f'{missing} cannot be read: No such file or directory'
  assert 'cannot be read' in refusal(parse, '--workdir=w --config=')
  path = stored('{"experiment": ')
  message = refusal(parse, f'--workdir=w --config={path}')
  assert message.startswith(f'{path} is not JSON: ')
  path = stored({'experiment': 'digit', 'config': {}})
  message = refusal(parse, f'--workdir=w --config={path}')
  assert 'did you mean digits?' in message


@pytest.mark.parametrize(
  ('name', 'flag', 'told'),
  [
    ('digits', '--width=0', '--width must be 1 or more, got 0'),
    ('digits', '--latent-dim=0', '--latent-dim must be 1 or more, got 0'),
    ('digits', '--num-classes=-1', '--num-classes must be 0 or more, got -1'),
    (
      'digits',
      f'--seed={2**31}',
      f'--seed must be from 0 to {2**31 - 1}, got {2**31}',
    ),
    ('digits', '--seed=-1', f'--seed must be from 0 to {2**31 - 1}, got -1'),
    (
      'digits',
      '--learning-rate=-1',
      '--learning-rate must be 0 or more, got -1.0',
    ),
    (
      'digits',
      '--learning-rate=nan',
      '--learning-rate must be 0 or more, got nan',
    ),
    (
      'digits',
      '--learning-rate=inf',
      '--learning-rate must be 0 or more, got inf',
    ),
    ('digits', '--ema-decay=1.5', '--ema-decay must be from 0 to 1, got 1.5'),
    ('table', '--dp-clip=0', '--dp-clip must be above 0, got 0.0'),
    ('table', '--delta=0', '--delta must be above 0 and below 1, got 0.0'),
    ('table', '--delta=1', '--delta must be above 0 and below 1, got 1.0'),
    ('table', '--dp-noise=-1', '--dp-noise must be 0 or more, got -1.0'),
    ('mnist-mlp', '--dropout=50', '--dropout must be from 0 to 1, got 50.0'),
    ('digits-stylegan2', '--mix=1.5', '--mix must be from 0 to 1, got 1.5'),
    ('stacked-mnist', '--b1=1.5', '--b1 must be from 0 to below 1, got 1.5'),
    ('stacked-mnist', '--b2=1', '--b2 must be from 0 to below 1, got 1.0'),
  ],
)
def test_numbers_of_an_experiment_are_in_range(name, flag, told):
  argv = [name, '--workdir=run', flag]
  assert refusal(command_line.parse, argv, train.EXPERIMENTS, 'digits') == told
