"""What a command sets of its process."""

import os
import platform
import resource
import subprocess
import sys

import jax
import pytest

from experiments import runtime

FLAG = '--xla_cpu_experimental_ynn_fusion_type'
CONVOLUTIONS = f'{FLAG}=-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION'
IN_PLACE = '--xla_cpu_copy_insertion_use_region_analysis=true'


@pytest.fixture
def flags(monkeypatch):
  """The variable's value after `tune`, from a value before."""

  def after(before=None, version=(0, 10, 2)):
    monkeypatch.setattr(jax, '__version_info__', version)
    monkeypatch.delenv('XLA_FLAGS', raising=False)
    if before is not None:
      monkeypatch.setenv('XLA_FLAGS', before)
    runtime.tune()
    return os.environ.get('XLA_FLAGS')

  return after


def test_flags_are_chosen_where_they_are_known(flags):
  assert flags() == flags('', (0, 9, 0)) == f'{CONVOLUTIONS} {IN_PLACE}'
  assert flags('--other=1') == f'--other=1 {CONVOLUTIONS} {IN_PLACE}'
  assert flags(version=(0, 8, 3)) == IN_PLACE
  assert flags('--other=1', (0, 13, 0)) == '--other=1'


def test_a_users_own_choice_stays(flags):
  assert flags(f'{FLAG}=') == f'{FLAG}= {IN_PLACE}'
  own = f'{IN_PLACE[:-4]}false'
  assert flags(own) == f'{own} {CONVOLUTIONS}'


def test_a_step_on_a_cpu_keeps_its_barriers(monkeypatch):
  (option,) = runtime.compiler_options().items()
  assert option == ('xla_disable_hlo_passes', 'cse_barrier_expander')
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert not runtime.compiler_options()


# Under the flags of `tune`: is a convolution YNNPACK's, and how many copies are
# there of a hidden layer and its moments, with the second flag and without.
TUNED = """
from experiments import runtime
runtime.tune()
import functools, jax, jax.numpy as jnp, jgan
from jgan.convolutions import conv2d
operands = jnp.ones((8, 16, 16, 32)), jnp.ones((3, 3, 32, 32))
print('ynn' in jax.jit(conv2d).lower(*operands).compile().as_text())
gan = jgan.models.mlp((12,), width=64, maxout=8)
batch, key = {'image': jnp.ones((4, 12))}, jax.random.key(0)
state = jax.eval_shape(functools.partial(jgan.init, gan), key, batch)
def play(gan, state, batch, key):
  return jgan.train_step(gan, state, batch, key, moves=jgan.moves(gan, 0))
step = jax.jit(play, static_argnums=0, donate_argnums=1)
step = step.lower(gan, state, batch, key)
for options in ({}, {'%s': False}):
  lines = step.compile(options).as_text().splitlines()
  print(sum('[64,64]' in line and ' copy(' in line for line in lines))
"""


@pytest.mark.slow
def test_xla_takes_the_flags():
  # Optimised as a command is, not as tests are.
  environment = {**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu'}
  told = subprocess.run(
    [sys.executable, '-c', TUNED % IN_PLACE[2:-5]],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert told.returncode == 0, told.stderr
  convolution, with_it, without = told.stdout.split()
  assert convolution == 'False'
  assert int(with_it) == 0 < int(without)


@pytest.mark.skipif(
  platform.libc_ver()[0] != 'glibc', reason='memory of glibc alone is kept'
)
def test_freed_memory_is_taken_again_without_page_faults():
  runtime.tune()
  size = 48 << 20

  def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

  faults()
  pages = size // resource.getpagesize()
  assert min(faults() for _ in range(3)) < pages / 10


def test_compiled_programs_go_to_the_users_cache(tmp_path):
  environment = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path)}
  told = subprocess.run(
    [
      sys.executable,
      '-c',
      'from experiments import runtime; runtime.prepare(); '
      'import jax; jax.jit(lambda x: x + 1)(1.0)',
    ],
    env={**environment, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
  )
  assert told.returncode == 0, told.stderr
  assert any((tmp_path / 'jgan').iterdir())
