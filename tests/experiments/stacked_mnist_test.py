"""Stacked MNIST, trained for two steps on the digits of a package."""

import jax
import numpy as np
import pytest
from runs import built

from experiments import data, runtime, sample, stacked_mnist, train

SMALL = ('--width=4', '--latent-dim=4', '--batch-size=8', '--steps=2')


@pytest.fixture(autouse=True)
def at_hand(monkeypatch):
  """One device, other digits in place of MNIST's, nobody's cache."""
  devices = jax.devices()[:1]
  monkeypatch.setattr(jax, 'devices', lambda: devices)
  monkeypatch.setattr(runtime, 'prepare', lambda: None)
  monkeypatch.setattr(
    data, 'tfds_images', lambda name, folder, resolution: data.digits()
  )


def state(*flags):
  """The shapes of the state of a run."""
  names = {'stacked-mnist': stacked_mnist}
  words = ['--workdir=none', *SMALL, *flags]
  run = train.command_line.parse(words, names, 'stacked-mnist')
  return built(run).state


def test_pairs_are_trained_on_and_single_pictures_sampled(tmp_path):
  flags = ['--no-relativistic', '--gamma=0', '--pack=2']
  train.main(['stacked-mnist', f'--workdir={tmp_path}', *SMALL, *flags])
  generate = sample.load(tmp_path)
  variables = generate.state.variables['discriminator']
  first = variables['params']['Conv_0']['kernel']
  assert first.shape == (4, 4, 6, 4)  # twice three channels
  assert np.abs(variables['batch_stats']['BatchNorm_0']['mean']).max() > 0
  assert generate(5).shape == (5, 32, 32, 3)


def test_a_penalised_discriminator_has_no_batch_norm():
  assert set(state().variables['discriminator']) == {'params'}
  plain = state('--gamma=0').variables['discriminator']
  assert set(plain) == {'params', 'batch_stats'}


def test_packs_that_do_not_fit_the_batch_are_named(tmp_path, capsys):
  with pytest.raises(SystemExit, match='2'):
    train.main(
      ['stacked-mnist', f'--workdir={tmp_path / "run"}', *SMALL, '--pack=3']
    )
  message = 'a batch of 8 does not divide into packs of 3'
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


def test_a_thousand_modes_come_of_the_digits():
  source = stacked_mnist.make_data(stacked_mnist.Config())
  examples = source[np.arange(500)]
  assert examples['image'].shape == (500, 32, 32, 3)
  assert len(source) == 128_000
  assert examples['label'].min() >= 0
  assert 900 < examples['label'].max() < 1000
