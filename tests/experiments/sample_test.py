"""Samples of chosen classes and codes, from small real runs."""

import re
import textwrap

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import data, mnist_cgan, mnist_infogan, sample, train

pytestmark = pytest.mark.usefixtures('one_device')
SMALL = ('--steps=2', '--batch-size=8', '--width=6')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """Makes a run of an experiment on digits that come in a package."""
  folder = tmp_path_factory.mktemp('runs')
  jax.config.update('jax_compilation_cache_dir', str(folder / 'cache'))

  def run(name, experiment, *flags):
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(experiment, 'make_data', lambda config: data.digits(28))
      train.main([name, f'--workdir={folder / name}', *SMALL, *flags])
    return folder / name

  return run


@pytest.fixture(scope='module')
def conditional(trained):
  return trained('mnist-cgan', mnist_cgan, '--maxout=24')


@pytest.fixture(scope='module')
def unconditional(trained):
  return trained('mnist-infogan', mnist_infogan, '--hidden=16')


def test_a_class_in_two_lines(conditional):
  generate = sample.load(conditional)
  images = generate(20, seed=1, label=7)
  assert images.shape == (20, 28, 28, 1)
  # Where the classes come in turn, samples 7 and 17 are sevens as well.
  in_turn = generate(20, seed=1)
  np.testing.assert_array_equal(images[[7, 17]], in_turn[[7, 17]])
  assert not np.array_equal(images[8], in_turn[8])


def test_several_classes_in_turn(conditional):
  generate = sample.load(conditional)
  images = generate(5, seed=1, label=(3, 5))
  threes, fives = (generate(5, seed=1, label=label) for label in (3, 5))
  np.testing.assert_array_equal(images[::2], threes[::2])
  np.testing.assert_array_equal(images[1::2], fives[1::2])


@pytest.mark.parametrize(
  ('flags', 'labels', 'columns'),
  [
    (['--label=3'], [3] * 7, 3),
    (['--label', '3', '5'], [3, 5, 3, 5, 3, 5, 3], 2),
    ([], [0, 1, 2, 3, 4, 5, 6], 10),
  ],
)
def test_the_command_makes_the_classes_asked_for(
  flags, labels, columns, conditional, tmp_path
):
  npz, grid = tmp_path / 'a.npz', tmp_path / 'a.png'
  sample.main(
    [
      f'--workdir={conditional}',
      *flags,
      '--count=7',
      f'--npz={npz}',
      f'--grid={grid}',
    ]
  )
  np.testing.assert_array_equal(np.load(npz)['label'], labels)
  with Image.open(grid) as image:
    assert image.size == (columns * 30 + 2, -(-7 // columns) * 30 + 2)


@pytest.mark.parametrize('label', ['10', '-1'])
def test_a_class_that_is_none_is_named(label, conditional, capsys):
  with pytest.raises(SystemExit) as status:
    sample.main([f'--workdir={conditional}', '--label', '3', label])
  assert status.value.code == 2
  err = capsys.readouterr().err
  assert f'--label={label} is no class of this model' in err
  assert 'labels are from 0 to 9' in err


def test_classes_of_a_run_without_are_refused(unconditional, capsys):
  with pytest.raises(SystemExit) as status:
    sample.main([f'--workdir={unconditional}', '--label=3'])
  assert status.value.code == 2
  err = capsys.readouterr().err
  assert '--label=3 needs a model with classes' in err
  assert 'trained without labels' in err


def test_inputs_of_a_run_that_translates_nothing_are_refused(
  unconditional, tmp_path, capsys
):
  with pytest.raises(SystemExit) as status:
    sample.main([f'--workdir={unconditional}', f'--input={tmp_path}'])
  assert status.value.code == 2
  err = capsys.readouterr().err
  assert '--input is for runs that translate; mnist-infogan makes' in err


def test_the_sweep_of_codes_in_the_docstring(
  unconditional, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  code = re.search(r'each row:\n\n(.*?)\n\n', mnist_infogan.__doc__, re.DOTALL)
  names = {}
  exec(textwrap.dedent(code[1]).replace('/tmp/run', str(unconditional)), names)
  assert names['images'].shape == (100, 28, 28, 1)
  # Ten categories of one noise: other pictures in each column of a row.
  assert len(np.unique(np.asarray(names['images'][:10]), axis=0)) == 10
  with Image.open(tmp_path / 'sweep.png') as image:
    assert image.size == (302, 302)
