"""Tests of how mistakes are told, and bugs are not."""

import errno
import os

import pytest

from experiments import errors, files


def test_reported_prints_one_line_and_exits_with_two(capsys):
  @errors.reported()
  def main():
    raise errors.UserError('there is no zzz')

  for _ in range(2):  # a decorator serves every call
    with pytest.raises(SystemExit) as stopped:
      main()
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err == 'error: there is no zzz\n'


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
