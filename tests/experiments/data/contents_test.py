"""What tells the data of folders from others."""

import shutil
import zipfile

import pytest

from experiments.data import contents


@pytest.fixture
def folder(tmp_path):
  """Pictures in two classes, a sound, and what is not read."""
  path = tmp_path / 'data'
  for name in ('cat/0.png', 'cat/1.JPG', 'dog/0.gif', 'dog/0.wav', 'notes.txt'):
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(name.encode())
  return path


def test_it_goes_with_the_folder_and_passes_over_what_is_not_read(
  folder, tmp_path
):
  first = contents([folder])
  assert first.startswith('files: 4, SHA-256: ')
  (folder / 'notes.txt').write_text('another')
  (folder / 'cat' / '.hidden.png').write_text('hidden')
  (folder / 'cat' / 'broken.png').symlink_to('nothing')
  (folder / 'none').mkdir()
  shutil.copytree(folder, tmp_path / 'copy', symlinks=True)
  assert contents([folder]) == contents([str(tmp_path / 'copy'), '']) == first


@pytest.mark.parametrize(
  'change',
  [
    lambda path: (path / 'cat' / '0.png').unlink(),
    lambda path: (path / 'cat' / '2.png').write_bytes(b'new'),
    lambda path: (path / 'cat' / '0.png').write_bytes(b'longer than before'),
    lambda path: (path / 'cat' / '0.png').rename(path / 'cat' / '7.png'),
    lambda path: (path / 'cat').rename(path / 'lynx'),
    lambda path: (path / 'dog' / '0.gif').rename(path / 'cat' / '0.gif'),
  ],
)
def test_what_changes_the_data_is_another(folder, change):
  first = contents([folder])
  change(folder)
  assert contents([folder]) != first


def test_folders_are_told_apart(folder):
  one, other = folder / 'cat', folder / 'dog'
  assert contents([one, other]) != contents([other, one])
  (one / '0.png').rename(other / '9.png')
  assert contents([folder, one]) != contents([one, folder])


def test_an_archive_is_known_by_what_is_in_it(tmp_path):
  found = set()
  for name in ('cat', 'dog'):
    with zipfile.ZipFile(tmp_path / f'{name}.zip', 'w') as archive:
      archive.writestr(f'{name}/0.wav', b'sound')
    found.add(contents([tmp_path / f'{name}.zip']))
  assert len(found) == 2
  shutil.copy(tmp_path / 'cat.zip', tmp_path / 'copy.zip')
  assert contents([tmp_path / 'copy.zip']) in found


def test_of_nothing_there_is_none(folder, tmp_path):
  assert contents([]) == contents(['', '']) == ''
  assert contents([folder, tmp_path / 'gone']) == ''
