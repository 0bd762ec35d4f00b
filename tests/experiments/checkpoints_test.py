import json
import pathlib
import signal
import subprocess
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.checkpoints import Checkpoints

ROOT = pathlib.Path(__file__).parents[2]


class State(NamedTuple):
  step: Any
  variables: Any
  opt_state: Any
  ema: Any


def make_state(step=0):
  params = {
    'dense': {'kernel': jnp.arange(12.0).reshape(3, 4) + step},
    'half': jnp.linspace(-1, 1, 5, dtype=jnp.bfloat16),
  }
  variables = {
    'params': params,
    'pool': jnp.arange(256, dtype=jnp.uint8),
    'seen': jnp.array([True, False, True]),
    'none': jnp.zeros((0, 3)),
    'scale': np.float32(0.1),
    'nan': jnp.array([jnp.nan, -0.0, jnp.inf]),
  }
  optimizer = optax.chain(optax.clip(1.0), optax.adam(1e-3))
  return State(jnp.int32(step), variables, optimizer.init(params), {})


def flat(tree):
  leaves, treedef = jax.tree.flatten(tree)
  arrays = [np.asarray(leaf) for leaf in leaves]
  return treedef, [(a.dtype, a.shape, a.tobytes()) for a in arrays]


def numbers(step):
  """A state that tells its step; random, so that no file is compressible."""
  return {'w': jax.random.normal(jax.random.key(step), (64, 64))}


def save(directory, *steps, keep=5):
  with Checkpoints(directory, keep) as checkpoints:
    for step in steps:
      checkpoints.save(step, numbers(step))


def largest_file(directory):
  files = (path for path in directory.rglob('*') if path.is_file())
  return max(files, key=lambda path: path.stat().st_size)


def flip(path, position):
  content = bytearray(path.read_bytes())
  content[position] ^= 4
  path.write_bytes(content)


def test_round_trip_is_exact(tmp_path):
  state = make_state(7)
  with Checkpoints(tmp_path / 'new' / 'checkpoints', keep=1) as checkpoints:
    assert checkpoints.restore(state) is None
    checkpoints.save(7, state)
  with Checkpoints(tmp_path / 'new' / 'checkpoints') as checkpoints:
    step, restored = checkpoints.restore(jax.eval_shape(lambda: state))
  assert step == 7
  assert flat(restored) == flat(state)
  assert not any(leaf.committed for leaf in jax.tree.leaves(restored))


def test_nothing_is_written_before_the_first_save(tmp_path):
  with Checkpoints(tmp_path / 'a', keep=1) as checkpoints:
    assert checkpoints.restore(make_state()) is None
    assert checkpoints.steps() == []
    checkpoints.wait()
  assert list(tmp_path.iterdir()) == []


def test_a_saved_state_may_be_deleted_or_overwritten_at_once(tmp_path):
  state = numbers(1) | {'host': np.ones(9, np.float32)}
  expected = flat(numbers(1) | {'host': np.ones(9, np.float32)})
  with Checkpoints(tmp_path, keep=2) as checkpoints:
    checkpoints.save(1, state)
    state['w'].delete()
    state['host'][:] = 0
    step, restored = checkpoints.restore(state)
  assert (step, flat(restored)) == (1, expected)


def test_a_restored_state_may_be_donated(tmp_path):
  step = jax.jit(
    lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0
  )
  save(tmp_path, 3)
  with Checkpoints(tmp_path) as checkpoints:
    _, state = checkpoints.restore(numbers(0))
  state = step(step(state))
  np.testing.assert_allclose(state['w'], numbers(3)['w'] + 2, rtol=1e-6)


def test_a_record_beside_the_arrays_names_each(tmp_path):
  with Checkpoints(tmp_path, keep=1) as checkpoints:
    checkpoints.save(1, {'a': {'b': jnp.zeros((2, 3), jnp.uint8)}})
  (path,) = (tmp_path / '1' / 'record').glob('metadata')
  # zlib.crc32(bytes(6)), as any CRC calculator gives it.
  expected = {'shape': [2, 3], 'dtype': 'uint8', 'crc32': 0xB1C2A1A3}
  assert json.loads(path.read_text()) == {"['a']['b']": expected}


def test_saving_a_saved_step_again_changes_nothing(tmp_path):
  with Checkpoints(tmp_path, keep=2) as checkpoints:
    checkpoints.save(1, numbers(1))
    checkpoints.save(1, numbers(99))
  save(tmp_path, 1)
  with Checkpoints(tmp_path) as checkpoints:
    assert flat(checkpoints.restore(numbers(0))[1]) == flat(numbers(1))


def test_saving_an_earlier_step_is_an_error(tmp_path):
  save(tmp_path, 5)
  with (
    Checkpoints(tmp_path, keep=2) as checkpoints,
    pytest.raises(ValueError, match=r'step 4 is below the steps \[5\]'),
  ):
    checkpoints.save(4, numbers(4))


def test_the_newest_are_kept(tmp_path):
  save(tmp_path, 1, 2, 3, 4, keep=2)
  assert sorted(path.name for path in tmp_path.iterdir()) == ['3', '4']
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.steps() == [3, 4]
    assert checkpoints.restore(numbers(0))[0] == 4


def test_keep_must_be_positive(tmp_path):
  with pytest.raises(ValueError, match='keep must be at least 1, got 0'):
    Checkpoints(tmp_path, keep=0)


def damage_a_bit(step_directory):
  path = largest_file(step_directory / 'arrays')
  flip(path, path.stat().st_size // 2)


def damage_by_truncation(step_directory):
  path = largest_file(step_directory / 'arrays')
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_by_emptying(step_directory):
  for path in sorted(step_directory.rglob('*'), reverse=True):
    path.rmdir() if path.is_dir() else path.unlink()


def damage_the_record(step_directory):
  (step_directory / 'record' / 'metadata').write_text('{"[\'w')


def lose_the_record(step_directory):
  (step_directory / 'record' / 'metadata').unlink()


def change_a_dtype(step_directory):
  path = step_directory / 'record' / 'metadata'
  path.write_text(path.read_text().replace('float32', 'float16'))


@pytest.mark.parametrize(
  'damage',
  [
    damage_a_bit,
    damage_by_truncation,
    damage_by_emptying,
    damage_the_record,
    lose_the_record,
    change_a_dtype,
  ],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
  save(tmp_path, 1, 2, 3)
  damage(tmp_path / '2')
  damage(tmp_path / '3')
  said = []
  with Checkpoints(tmp_path, keep=2, report=said.append) as checkpoints:
    step, state = checkpoints.restore(numbers(0))
    assert (step, flat(state)) == (1, flat(numbers(1)))
    assert checkpoints.steps() == [1]
    checkpoints.save(2, numbers(2))
  assert f'{tmp_path}/3 is damaged' in said[0]
  assert f'{tmp_path}/2 is damaged' in said[1]
  assert said[2:] == [f'Deleted {tmp_path}/3.', f'Deleted {tmp_path}/2.']
  with Checkpoints(tmp_path) as checkpoints:
    assert flat(checkpoints.restore(numbers(0))[1]) == flat(numbers(2))


def test_every_flipped_bit_of_the_array_is_noticed(tmp_path):
  save(tmp_path, 1, 2)
  path = largest_file(tmp_path / '2' / 'arrays')
  whole = path.read_bytes()
  for position in range(0, len(whole), len(whole) // 20):
    flip(path, position)
    said = []
    with Checkpoints(tmp_path, report=said.append) as checkpoints:
      step, state = checkpoints.restore(numbers(0))
    # A bit that nothing reads, such as padding, may flip.
    assert flat(state) == flat(numbers(step))
    assert (step, len(said)) in [(2, 0), (1, 1)]
    path.write_bytes(whole)


def test_the_first_damage_of_many_arrays_is_all_that_is_printed(
  tmp_path, capfd
):
  state = {str(i): numbers(i) for i in range(20)}
  with Checkpoints(tmp_path, keep=2) as checkpoints:
    checkpoints.save(1, state)
    checkpoints.save(2, state)
  damage_by_truncation(tmp_path / '2')
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.restore(state)[0] == 1
  out, err = capfd.readouterr()
  assert out == ''
  assert err.startswith(f'Checkpoint {tmp_path}/2 is damaged')
  assert err.count('\n') == 1


def test_all_damaged_is_an_error_that_deletes_nothing(tmp_path):
  save(tmp_path, 1, 2)
  damage_a_bit(tmp_path / '1')
  damage_by_emptying(tmp_path / '2')
  with (
    Checkpoints(tmp_path, keep=2, report=lambda text: None) as checkpoints,
    pytest.raises(ValueError, match=r'every checkpoint .*steps \[1, 2\]'),
  ):
    checkpoints.restore(numbers(0))
  assert sorted(path.name for path in tmp_path.iterdir()) == ['1', '2']


@pytest.mark.parametrize(
  ('template', 'difference'),
  [
    (
      np.zeros((64, 65), 'f'),
      'stored float32[64, 64], expected float32[64, 65]',
    ),
    (np.zeros((64, 64), 'i'), 'stored float32[64, 64], expected int32[64, 64]'),
    ({'x': np.zeros(2, 'f')}, 'stored nothing, expected float32[2]'),
  ],
)
def test_another_model_is_an_error_that_deletes_nothing(
  tmp_path, template, difference
):
  save(tmp_path, 1, 2)
  damage_a_bit(tmp_path / '2')
  with (
    Checkpoints(tmp_path, keep=2, report=lambda text: None) as checkpoints,
    pytest.raises(ValueError, match='another model') as error,
  ):
    checkpoints.restore({'w': template})
  assert f'{tmp_path}/1' in str(error.value)
  assert "['w']" in str(error.value)
  assert difference in str(error.value)
  assert sorted(path.name for path in tmp_path.iterdir()) == ['1', '2']


def test_only_the_first_differences_are_listed(tmp_path):
  save(tmp_path, 1)
  template = {str(i): jnp.zeros(2) for i in range(9)}
  with (
    Checkpoints(tmp_path) as checkpoints,
    pytest.raises(ValueError, match='10 arrays differ') as error,
  ):
    checkpoints.restore(template)
  assert str(error.value).count('expected float32[2]') == 5


def test_reading_alone_writes_nothing(tmp_path):
  save(tmp_path / 'a', 1, 2)
  damage_a_bit(tmp_path / 'a' / '2')
  (tmp_path / 'a' / '3.orbax-checkpoint-tmp').mkdir()
  before = sorted(tmp_path.rglob('*'))
  with Checkpoints(tmp_path / 'a', report=lambda text: None) as checkpoints:
    assert checkpoints.restore(numbers(0))[0] == 1
    with pytest.raises(ValueError, match='without keep'):
      checkpoints.save(4, numbers(4))
  assert sorted(tmp_path.rglob('*')) == before


def test_reading_where_nothing_is_raises(tmp_path):
  with (
    Checkpoints(tmp_path / 'a') as checkpoints,
    pytest.raises(FileNotFoundError, match=f'no checkpoint in {tmp_path}/a'),
  ):
    checkpoints.restore(numbers(0))
  assert not (tmp_path / 'a').exists()


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
  save(tmp_path / 'a', 1)
  with Checkpoints(tmp_path / 'a', keep=2) as checkpoints:
    assert checkpoints.steps() == [1]
    (tmp_path / 'a').rename(tmp_path / 'b')
    (tmp_path / 'a').write_text('a file where the directory was')
    with pytest.raises(NotADirectoryError):
      checkpoints.save(2, numbers(2))


def test_a_write_that_fails_is_an_error(tmp_path):
  full = [sys.executable, '-c', FULL, str(tmp_path)]
  done = subprocess.run(full, cwd=ROOT, capture_output=True, text=True)
  assert f'No checkpoint could be written to {tmp_path}' in done.stdout
  assert 'File too large' in done.stdout
  assert 'The last good one is of step 1.' in done.stdout
  with Checkpoints(tmp_path, keep=2) as checkpoints:
    assert checkpoints.restore(numbers(0))[0] == 1
    checkpoints.save(2, numbers(2))
  assert sorted(path.name for path in tmp_path.iterdir()) == ['1', '2']


@pytest.mark.parametrize('axis', [None, 'x'])
def test_a_checkpoint_goes_where_the_template_says(tmp_path, axis):
  save(tmp_path, 1)
  mesh = jax.sharding.Mesh(jax.devices()[:2], 'x')
  sharding = jax.sharding.NamedSharding(mesh, jax.P(axis))
  shape = jax.ShapeDtypeStruct((64, 64), jnp.float32, sharding=sharding)
  with Checkpoints(tmp_path, keep=2) as checkpoints:
    _, state = checkpoints.restore({'w': shape})
    assert state['w'].sharding == sharding
    assert flat(state) == flat(numbers(1))
    checkpoints.save(2, state)
    _, state = checkpoints.restore(state)
    assert state['w'].sharding == sharding
    _, state = checkpoints.restore(numbers(0))
  assert not state['w'].committed  # as in the template
  assert flat(state) == flat(numbers(1))


def test_relative_directories_are_found(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  save('run/checkpoints', 1)
  with Checkpoints(tmp_path / 'run' / 'checkpoints') as checkpoints:
    assert checkpoints.steps() == [1]


FULL = """
import resource, signal, sys
import jax
from experiments.checkpoints import Checkpoints
from experiments.errors import UserError
state = {'w': jax.random.normal(jax.random.key(0), (64, 64))}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Checkpoints(sys.argv[1], keep=2) as checkpoints:
  checkpoints.save(1, state)
  checkpoints.wait()
  resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
  checkpoints.save(2, state)
  try:
    checkpoints.wait()
  except UserError as error:
    print(error)
"""
KILLED = """
import sys
import jax.numpy as jnp
from experiments.checkpoints import Checkpoints
with Checkpoints(sys.argv[1], keep=2) as checkpoints:
  for step in range(1, 100000):
    checkpoints.save(step, {'w': jnp.full((64, 64), step, jnp.int32)})
    print(step, flush=True)
"""


def test_a_kill_during_a_save_leaves_whole_checkpoints(tmp_path):
  command = [sys.executable, '-c', KILLED, str(tmp_path)]
  with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
    saved = [int(process.stdout.readline()) for _ in range(12)][-1]
    process.send_signal(signal.SIGKILL)
  template = {'w': jax.ShapeDtypeStruct((64, 64), jnp.int32)}
  with Checkpoints(tmp_path, keep=2) as checkpoints:
    step, state = checkpoints.restore(template)
    assert step >= saved - 1
    assert np.unique(state['w']).tolist() == [step]
    checkpoints.save(step + 1, state)
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {str(step), str(step + 1)}


def test_going_back_deletes_what_is_later(tmp_path):
  told = []
  with Checkpoints(tmp_path, 5, told.append) as checkpoints:
    for step in (1, 2, 4):
      checkpoints.save(step, numbers(step))
    checkpoints.go_back(2)
    assert checkpoints.steps() == [1, 2]
    assert told == [f'Deleted {tmp_path / "4"}.']
    checkpoints.save(3, numbers(3))
    step, state = checkpoints.restore(numbers(0))
  assert step == 3
  np.testing.assert_array_equal(state['w'], numbers(3)['w'])
