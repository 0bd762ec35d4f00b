"""Generators in a file of their own, against `jgan.sample`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
import translators

import jgan
from experiments import data, export, mnist_cgan, mnist_cyclegan, sample, train

pytestmark = pytest.mark.usefixtures('one_device')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run with classes, of two steps."""
  workdir = tmp_path_factory.mktemp('run')
  jax.config.update('jax_compilation_cache_dir', str(workdir / 'cache'))
  numbers = '--steps=2', '--batch-size=8', '--width=6', '--maxout=24'
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(mnist_cgan, 'make_data', lambda config: data.digits(28))
    train.main(['mnist-cgan', f'--workdir={workdir}', *numbers])
  return workdir


@pytest.fixture(scope='module')
def written(run):
  """The file of that run."""
  export.main([f'--workdir={run}'])
  return run / 'generator.bin'


def by_classes(count):
  return {'index': np.arange(count), 'label': np.arange(count) % 10}


@pytest.mark.parametrize('count', [1, 7, 130])
def test_it_makes_the_samples_of_the_run(count, run, written):
  program = jax.export.deserialize(written.read_bytes())
  made = program.call(3, by_classes(count))
  wanted = sample.load(run)(count, seed=3)
  np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_the_lines_that_are_told_need_no_jgan(run, tmp_path, capsys):
  path = tmp_path / 'new' / 'digits.bin'
  export.main([f'--workdir={run}', f'--output={path}'])
  lines = capsys.readouterr().out.split('\n\n')[1]
  code = [
    'import sys; sys.modules["jgan"] = sys.modules["experiments"] = None',
    lines,
    f'np.save({str(tmp_path / "made.npy")!r}, samples)',
  ]
  subprocess.run([sys.executable, '-c', '\n'.join(code)], check=True)
  wanted = sample.load(run)(16, seed=1)
  made = np.load(tmp_path / 'made.npy')
  np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_the_readme_shows_these_lines(written):
  program = jax.export.deserialize(written.read_bytes())
  lines = export.loading('generator.bin', program, 10)
  readme = (Path(__file__).parents[2] / 'README.md').read_text()
  (block,) = re.findall(r'```py\n(.*?)```', readme, re.DOTALL)
  assert block.splitlines() == lines


def test_the_description_says_what_goes_in_and_comes_out(written):
  told = json.loads(written.with_suffix('.json').read_text())
  assert told['experiment'] == 'mnist-cgan'
  assert told['step'] == 2
  batch = {'index': 'int32[n]', 'label': 'int32[n]'}
  assert told['takes'] == {'seed': 'int32[]', 'batch': batch}
  assert told['gives'] == 'float32[n, 28, 28, 1]'
  assert told['platforms'] == ['cpu', 'cuda', 'rocm', 'tpu']
  assert "open('generator.bin', 'rb')" in told['use'][1]


def test_the_file_holds_the_averaged_generator_alone(written, run):
  state = sample.load(run).state
  weights = sum(x.nbytes for x in jax.tree.leaves(state.ema_params))
  assert weights < written.stat().st_size < weights + 100_000


def test_latents_can_be_given_and_bfloat16_goes_through():
  gan = jgan.models.dcgan(8, width=4, latent_dim=8, dtype=jnp.bfloat16)
  state = jgan.init(gan, jax.random.key(0), {'image': np.zeros((4, 8, 8, 1))})
  latent = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
  batch = {'index': np.arange(5, dtype=np.int32), 'latent': latent}
  program = export.exported(gan, state, batch)
  made = program.call(0, batch)
  wanted = jgan.sample(gan, state, batch, jax.random.key(0))
  assert made.dtype == wanted.dtype
  np.testing.assert_allclose(
    made.astype(np.float32), wanted.astype(np.float32), atol=1e-2
  )
  np.testing.assert_array_equal(made, program.call(1, batch))


@pytest.fixture(scope='module')
def translating(tmp_path_factory):
  """A run that translates both ways, of one step."""
  workdir = tmp_path_factory.mktemp('translating')
  arrays = {name: np.zeros((8, 8, 8, 1), np.uint8) for name in ('x', 'y')}
  with translators.small(), pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      mnist_cyclegan, 'make_data', lambda config: data.Arrays(arrays)
    )
    patch.setattr(mnist_cyclegan, '_held_out', lambda config: arrays)
    name = 'mnist-cyclegan', f'--workdir={workdir}'
    train.main([*name, '--steps=1', '--batch-size=4'])
  return workdir


@pytest.mark.parametrize(
  ('flags', 'there', 'back'), [([], 'x', 'y'), (['--inputs', 'y'], 'y', 'x')]
)
def test_translators_take_pictures(flags, there, back, translating, tmp_path):
  path = tmp_path / 'a.bin'
  with translators.small():
    export.main([f'--workdir={translating}', f'--output={path}', *flags])
    generate = sample.load(translating)
  image = np.linspace(-1, 1, 3 * 64, dtype=np.float32).reshape(3, 8, 8, 1)
  batch = {'index': np.arange(3), there: image}
  made = jax.export.deserialize(path.read_bytes()).call(0, batch)
  wanted = generate.make(batch)
  assert set(made) == {f'fake_{back}', f'cycle_{there}'}
  for name, images in made.items():
    np.testing.assert_allclose(images, wanted[name], atol=1e-6)


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--output=a.json'], '--output=a.json: there will be the description'),
    (['--inputs', 'lable'], '--inputs: lable is none of what batches of'),
    (['--inputs', 'image'], "needs a 'label'"),
    (['--best'], 'no checkpoint'),
  ],
)
def test_mistakes_are_told(flags, message, run, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(SystemExit, match='2'):
    export.main([f'--workdir={run}', '--output=a.bin', *flags])
  assert message in capsys.readouterr().err
  assert not list(tmp_path.iterdir())


def test_flatbuffers_is_named_where_it_is_missing(run, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'flatbuffers', None)
  with pytest.raises(SystemExit, match='2'):
    export.main([f'--workdir={run}'])
  assert 'pip install "jgan[export]"' in capsys.readouterr().err
