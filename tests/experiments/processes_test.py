"""Two processes of four devices each train one GAN, as a user starts them."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import runs
from PIL import Image

from experiments import processes, train
from experiments.errors import UserError

ROOT = Path(__file__).parents[2]
SMALL = (*runs.SMALL, '--sample-every=1000', '--save-every=2')


@pytest.fixture
def start(tmp_path):
  """Starts two processes, and leaves none behind."""
  started = []

  def start(workdir, *flags, own=((), ())):
    pair = _started(workdir, str(tmp_path / 'cache'), flags, own)
    started.extend(pair)
    return pair

  yield start
  for process in started:
    process.kill()
    process.communicate()


def _started(workdir, cache, flags, own):
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  flags_of_xla = os.environ.get('XLA_FLAGS', '')
  return [
    subprocess.Popen(
      [
        *(sys.executable, '-m', 'experiments.train', f'--workdir={workdir}'),
        *('--distributed', *SMALL, *flags, *own[number]),
      ],
      cwd=ROOT,
      env=os.environ
      | {
        'JAX_COMPILATION_CACHE_DIR': cache,
        'XLA_FLAGS': f'{flags_of_xla} --xla_force_host_platform_device_count=4',
        'JAX_COORDINATOR_ADDRESS': f'localhost:{port}',
        'JAX_NUM_PROCESSES': '2',
        'JAX_PROCESS_ID': str(number),
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in range(2)
  ]


def wait_for(process, word):
  told = ''
  for line in process.stdout:
    told += line
    if word in line:
      return told
  raise AssertionError(f'{told}\n{process.stderr.read()}')


def lines(workdir):
  text = (workdir / 'metrics.jsonl').read_text()
  return {line['step']: line for line in map(json.loads, text.splitlines())}


@pytest.mark.slow
def test_killed_resumed_stopped_and_finished_by_another_number_of_processes(
  start, tmp_path
):
  there, whole = tmp_path / 'there', tmp_path / 'whole'
  first, second = start(there, '--steps=100000')
  told = wait_for(first, 'step 6/')
  assert 'on each of 8 cpu' in told
  for process in (first, second):
    process.kill()
    process.communicate()

  first, second = start(there, '--steps=100000')
  told = wait_for(first, '/100000 |')
  assert int(re.search(r'from step (\d+)', told)[1]) >= 2
  second.send_signal(signal.SIGTERM)
  out, err = first.communicate(timeout=120)
  _, silent = second.communicate(timeout=120)
  assert first.returncode == second.returncode == 128 + signal.SIGTERM, (
    err + silent
  )
  stopped = int(re.search(r'Stopped after step (\d+); saved', out)[1])

  train.main([f'--workdir={there}', *SMALL, f'--steps={stopped + 2}'])
  train.main([f'--workdir={whole}', *SMALL, '--steps=8'])
  expected, found = lines(whole), lines(there)
  assert max(found) == stopped + 2
  for step in (2, 4, 6, 8):
    for name, value in expected[step].items():
      if name != 'input_wait':
        assert found[step][name] == pytest.approx(value, rel=0.02), (step, name)


def test_other_flags_in_another_process_are_named(monkeypatch):
  def gathered(own):
    other = json.dumps({'steps': 2, 'seed': 1}).encode().ljust(own.size)
    return np.stack([own, np.frombuffer(other, np.uint8)])

  monkeypatch.setattr(processes.multihost_utils, 'process_allgather', gathered)
  processes.check_alike({'steps': 4, 'seed': 1})  # in one process, of nobody
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  processes.check_alike({'steps': 2, 'seed': 1})
  with pytest.raises(UserError, match='  steps: 4 in 0, 2 in 1\n') as error:
    processes.check_alike({'steps': 4, 'seed': 1})
  assert 'seed' not in str(error.value)


@pytest.mark.parametrize(
  ('kind', 'told'), [(jax.errors.JaxRuntimeError, True), (KeyError, False)]
)
def test_a_connection_that_broke_is_explained(kind, told, monkeypatch, capsys):
  monkeypatch.setattr(os, '_exit', lambda status: ended.append(status))
  ended = []
  with processes.leaving_together():
    raise kind('Connection reset by peer')
  assert ended == [2]
  err = capsys.readouterr().err
  assert 'Connection reset by peer' in err
  assert ('another process has ended' in err) == told


def test_an_error_of_one_process_ends_all_with_its_words(monkeypatch):
  with processes.failing_together():  # in one process, of nobody
    pass
  others = ''

  def gathered(own):
    other = json.dumps(others).encode().ljust(own.size)
    told.append(json.loads(own.tobytes()))
    return np.stack([own, np.frombuffer(other, np.uint8)])

  told = []
  monkeypatch.setattr(processes.multihost_utils, 'process_allgather', gathered)
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  with processes.failing_together():
    pass
  with pytest.raises(UserError, match=r'^mine'), processes.failing_together():
    raise UserError('mine' + 9999 * '\U0001f600')  # which JSON writes long
  others = 'there is no file a.csv'
  error = pytest.raises(UserError, match=f'process 1 cannot go on.* {others}$')
  with error, processes.failing_together():
    pass
  assert told[0] == told[2] == ''
  assert told[1].startswith('mine')


@pytest.mark.parametrize('failing', [0, 1])
@pytest.mark.slow
def test_a_folder_that_one_process_lacks_ends_both(failing, start, tmp_path):
  pictures = tmp_path / 'pictures'
  pictures.mkdir()
  Image.new('RGB', (8, 8)).save(pictures / 'a.png')
  own = [[f'--path={pictures}'], [f'--path={pictures}']]
  own[failing] = [f'--path={tmp_path / "none"}']
  pair = start(tmp_path / 'run', 'folder', '--resolution=16', own=own)
  told = [process.communicate(timeout=120)[1] for process in pair]
  assert [process.returncode for process in pair] == [2, 2]
  assert 'error: folder: there is no folder' in told[failing]
  assert f'error: process {failing} cannot go on' in told[1 - failing]
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('flag', 'words'),
  [
    ('--steps=0', '--steps must be 1 or more, got 0'),
    ('--stepz=1', 'its flags; it has printed which'),
  ],
)
@pytest.mark.slow
def test_a_flag_that_one_process_mistakes_ends_both(
  flag, words, start, tmp_path
):
  pair = start(tmp_path / 'run', own=[[], [flag]])
  told = [process.communicate(timeout=120) for process in pair]
  assert [process.returncode for process in pair] == [2, 2]
  assert f'process 1 cannot go on, so all end. Its error: {words}' in told[0][1]
  assert flag.partition('=')[0] in ''.join(told[1])
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('held', 'refused'),
  [([0, 0], False), ([1, 0], False), ([1, 1], False), ([0, 0, 1], True)],
)
def test_a_run_that_the_first_process_lacks_is_named(
  held, refused, monkeypatch, tmp_path
):
  def gathered(own):
    return np.array([own, *held[1:]], bool)

  file = tmp_path / 'config.json'
  if held[0]:
    file.touch()
  monkeypatch.setattr(processes.multihost_utils, 'process_allgather', gathered)
  monkeypatch.setattr(jax, 'process_count', lambda: len(held))
  told = pytest.raises(UserError, match='a run where process 2 is, and none')
  with told if refused else contextlib.nullcontext():
    processes.check_first_has_run(file)


@pytest.mark.parametrize('count', [None, 'two'])
def test_variables_that_do_not_fit_are_named(count, monkeypatch):
  monkeypatch.setenv('JAX_COORDINATOR_ADDRESS', 'localhost:1')
  monkeypatch.setenv('JAX_PROCESS_ID', '0')
  if count:
    monkeypatch.setenv('JAX_NUM_PROCESSES', count)
  with pytest.raises(UserError, match='JAX_NUM_PROCESSES must be the number'):
    processes.join()


def test_no_cluster_is_a_users_error(monkeypatch):
  monkeypatch.delenv('JAX_COORDINATOR_ADDRESS', raising=False)
  with pytest.raises(UserError, match='set JAX_COORDINATOR_ADDRESS=host:port'):
    processes.join()
