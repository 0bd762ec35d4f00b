"""Tests of the command line, of config.json, and of how mistakes are told."""

import dataclasses
import errno
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from experiments import config, errors, files, own_data, train


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits(config.Config):
  steps: int = 3000
  batch_size: int = 64
  latent_dim: int = 64  # numbers in a latent
  learning_rate: float = 2e-4  # of Adam, for both players
  mirror: bool = False  # flip half of the pictures
  data_dir: str | None = None  # where the data set lies


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder(config.Config):
  steps: int = 9000
  batch_size: int = 16
  path: str  # folder of pictures
  betas: tuple[float, float] = (0.5, 0.999)  # Adam's decay rates
  widths: tuple[int, ...] = (64, 32)  # channels by layer
  loss: Literal['hinge', 'minimax'] = 'hinge'  # the game
  flip: bool = True  # flip half of the pictures


EXPERIMENTS = {
  'digits': SimpleNamespace(
    Config=Digits, __doc__='A DCGAN on digits.\n\nMore.'
  ),
  'mnist-dcgan': SimpleNamespace(Config=Digits, __doc__=None),
  'folder': SimpleNamespace(Config=Folder, __doc__='Your own pictures.'),
}


def parse(line):
  return config.parse(line.split(), EXPERIMENTS, 'digits')


def refusal(call, *args):
  with pytest.raises(errors.UserError) as caught:
    call(*args)
  return str(caught.value)


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
    run = config.parse(words, known, 'square')
    assert run.name == 'oblong'
    assert run.config.resolution == resolution
    assert run.config.levels == ((0, 4095) if '--levels' in words else None)
    config.save(run)
    assert config.load(tmp_path, known).config == run.config


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
  run = config.parse(argv, train.EXPERIMENTS, 'digits')
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
  lines = config.listing(train.EXPERIMENTS).splitlines()
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


# ------------------------------------------------------------------ workdirs


def test_saved_run_is_loaded_again(tmp_path):
  folder = Folder(path='ä b', betas=(0, 0.5), widths=(), loss='minimax')
  for name, numbers in [('folder', folder), ('mnist-dcgan', Digits(seed=3))]:
    run = config.Run(name, tmp_path, numbers)
    config.save(run)
    assert config.load(tmp_path, EXPERIMENTS) == run
  assert [path.name for path in tmp_path.iterdir()] == ['config.json']


def test_config_json_holds_the_name_and_every_number(tmp_path):
  config.save(config.Run('folder', tmp_path, Folder(path='a', steps=5)))
  entries = json.loads((tmp_path / 'config.json').read_text())
  assert entries['experiment'] == 'folder'
  assert entries['config'] == {
    'steps': 5,
    'batch_size': 16,
    'seed': 0,
    'log_every': 100,
    'sample_every': 500,
    'save_every': 500,
    'evaluate_every': 0,
    'best_by': 'frechet_distance',
    'keep': 2,
    'steps_per_dispatch': 0,
    'microbatches': 1,
    'rematerialize': False,
    'bfloat16': False,
    'path': 'a',
    'betas': [0.5, 0.999],
    'widths': [64, 32],
    'loss': 'hinge',
    'flip': True,
  }


def test_interrupted_save_leaves_the_old_config(tmp_path, monkeypatch):
  run = config.Run('digits', tmp_path, Digits())
  config.save(run)

  def interrupted(*paths):
    raise KeyboardInterrupt

  monkeypatch.setattr(os, 'replace', interrupted)
  with pytest.raises(KeyboardInterrupt):
    config.save(run._replace(config=Digits(steps=9)))
  assert config.load(tmp_path, EXPERIMENTS) == run


def test_load_names_a_workdir_without_a_run(tmp_path):
  message = refusal(config.load, tmp_path / 'a', EXPERIMENTS)
  assert message == f'{tmp_path / "a"} holds no run: it has no config.json'


def test_resume_of_an_empty_or_missing_workdir_is_free(tmp_path):
  config.check_resume(config.Run('digits', tmp_path, Digits()))
  config.check_resume(config.Run('digits', tmp_path / 'a', Digits()))
  assert list(tmp_path.iterdir()) == []


def test_resume_may_change_length_rhythm_and_the_datas_place(tmp_path):
  config.save(config.Run('digits', tmp_path, Digits()))
  changed = Digits(
    steps=9, log_every=9, sample_every=9, save_every=9, keep=9, data_dir='a'
  )
  config.check_resume(config.Run('digits', tmp_path, changed))


def test_resume_of_another_config_lists_the_differences(tmp_path):
  config.save(config.Run('digits', tmp_path, Digits()))
  other = Digits(batch_size=8, mirror=True, steps=9, learning_rate=0.1)
  message = refusal(config.check_resume, config.Run('digits', tmp_path, other))
  assert message.splitlines() == [
    f'{tmp_path} holds another run:',
    '  batch_size: 64 there, 8 given',
    '  learning_rate: 0.0002 there, 0.1 given',
    '  mirror: False there, True given',
    'Give another --workdir, or the flags of the run that is there.',
  ]


def test_resume_of_another_experiment_is_refused(tmp_path):
  config.save(config.Run('digits', tmp_path, Digits()))
  run = config.Run('folder', tmp_path, Folder(path='a'))
  message = refusal(config.check_resume, run)
  assert "  experiment: 'digits' there, 'folder' given" in message


def test_resume_of_a_damaged_config_is_refused(tmp_path):
  (tmp_path / 'config.json').write_text('{')
  run = config.Run('digits', tmp_path, Digits())
  assert 'is not JSON' in refusal(config.check_resume, run)


def test_writable_makes_the_folder_and_leaves_it_empty(tmp_path):
  config.writable(tmp_path / 'a' / 'b')
  config.writable(tmp_path / 'a' / 'b')
  assert list((tmp_path / 'a' / 'b').iterdir()) == []


def test_file_in_the_way_of_a_workdir_is_told(tmp_path):
  file = tmp_path / 'file'
  file.write_text('kept')
  for workdir in [file, file / 'a']:
    message = refusal(config.writable, workdir)
    assert message.startswith(f'--workdir={workdir} cannot be written to')
  assert file.read_text() == 'kept'


@pytest.mark.parametrize('name', ['samples', 'checkpoints', 'best'])
def test_file_in_the_way_of_a_folder_of_a_run_is_told(tmp_path, name):
  path = tmp_path / name
  path.write_text('kept')
  told = f'{path} is in the way: a run has a folder of that name'
  assert refusal(config.writable, tmp_path).startswith(told)
  assert path.read_text() == 'kept'
  path.unlink()
  path.symlink_to(tmp_path / 'elsewhere')  # a disk that is not mounted
  assert refusal(config.writable, tmp_path).startswith(told)
  (tmp_path / 'elsewhere').mkdir()
  config.writable(tmp_path)


@pytest.mark.parametrize(
  'name', ['batch.json', 'metrics.jsonl', 'reals.png', 'config.json']
)
def test_folder_in_the_way_of_a_file_of_a_run_is_told(tmp_path, name):
  path = tmp_path / name
  path.mkdir()
  told = f'{path} is in the way: a run has a file of that name'
  assert refusal(config.writable, tmp_path).startswith(told)
  path.rmdir()
  path.write_text('')
  config.writable(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs /proc')
@pytest.mark.parametrize('workdir', ['/proc', '/proc/a/b'])
def test_unwritable_place_is_told(workdir):
  assert 'cannot be written to' in refusal(config.writable, Path(workdir))


# -------------------------------------------------------------------- errors


def test_reported_prints_one_line_and_exits_with_two(capsys):
  @errors.reported()
  def main():
    parse('--workdir=w zzz')

  for _ in range(2):  # a decorator serves every call
    with pytest.raises(SystemExit) as stopped:
      main()
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith("error: there is no experiment 'zzz'.")
    assert err.count('\n') == 1


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_reported_tells_a_full_disk_in_a_line(number, capsys):
  with pytest.raises(SystemExit) as stopped, errors.reported():
    raise OSError(number, os.strerror(number))
  assert stopped.value.code == 2
  err = capsys.readouterr().err
  assert err.startswith(f'error: {os.strerror(number)}; make room')
  assert err.count('\n') == 1


def test_reported_leaves_other_errors_alone():
  with pytest.raises(ValueError, match='a bug'), errors.reported():
    raise ValueError('a bug')
  with pytest.raises(PermissionError), errors.reported():
    raise PermissionError(errno.EACCES, 'a bug')


@pytest.mark.parametrize('kind', [ValueError, FileNotFoundError])
def test_building_keeps_the_message(kind):
  with pytest.raises(errors.UserError, match=r'^dcgan: 48$'), errors.building():
    raise kind('dcgan: 48')


def test_building_tells_what_to_do_about_a_file(tmp_path):
  file = tmp_path / 'a.csv'
  told = pytest.raises(
    errors.UserError, match=r'^/.*a\.csv: No such file.* Give a path that is'
  )
  with told, errors.building():
    file.read_text()


def test_building_names_what_was_to_be_written(tmp_path):
  told = pytest.raises(errors.UserError, match=r'/grid: Is a directory')
  (tmp_path / 'grid').mkdir()
  with told, errors.building():
    files.write_text(tmp_path / 'grid', 'text')


def test_building_leaves_a_full_disk_to_the_command(capsys):
  with pytest.raises(SystemExit), errors.reported(), errors.building():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'a.png')
  assert 'make room' in capsys.readouterr().err


def test_building_leaves_bugs_and_user_errors_alone():
  with pytest.raises(KeyError), errors.building():
    raise KeyError('bug')
  with pytest.raises(errors.UserError, match='mine'), errors.building():
    raise errors.UserError('mine')


def test_a_file_that_is_not_there_is_left_to_its_reader(tmp_path):
  file = tmp_path / 'a.csv'
  lacking = own_data.OfFile(steps=1, batch_size=1, path=str(file))
  assert lacking.sha256 == ''
  with pytest.raises(FileNotFoundError, match='there is no file'):
    own_data.check_file(lacking.path, lacking.sha256)
  file.write_text('a\n1\n')
  there = dataclasses.replace(lacking)
  assert len(there.sha256) == 64
  run = config.Run('series', tmp_path / 'run', there)
  config.save(run)
  config.check_resume(run._replace(config=lacking))


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
  assert refusal(config.parse, argv, train.EXPERIMENTS, 'digits') == told
