"""Grids of mixed styles and of truncations, of a tiny run."""

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import kept, sample, styles, train

NUMBERS = (
  *('--width=4', '--latent-dim=4', '--depth=1', '--batch-size=4', '--steps=2'),
  *('--path-weight=0', '--learning-rate=0.05', '--half-life=1'),
)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('run') / 'stylegan2'
  devices, cache = jax.devices, jax.config.jax_compilation_cache_dir
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, 'devices', lambda *args: devices(*args)[:1])
    jax.config.update(
      'jax_compilation_cache_dir', str(tmp_path_factory.mktemp('cache'))
    )
    train.main(['digits-stylegan2', f'--workdir={workdir}', *NUMBERS])
    yield workdir
  jax.config.update('jax_compilation_cache_dir', cache)


def cells(path, columns):
  """The pictures of a grid of 32x32 ones, `[rows, columns, 32, 32, 3]`."""
  with Image.open(path) as image:
    grid = np.array(image)
  rows = (grid.shape[0] - 2) // 34
  assert grid.shape == (34 * rows + 2, 34 * columns + 2, 3)
  grid = grid[2:, 2:].reshape(rows, 34, columns, 34, 3)
  return grid[:, :32, :, :32].transpose(0, 2, 1, 3, 4).astype(int)


@pytest.fixture(scope='module')
def drawn(run):
  styles.main([f'--workdir={run}', '--rows=2', '--columns=3', '--seed=4'])
  return cells(run / 'mixing.png', 4), cells(run / 'truncation.png', 3)


@pytest.mark.slow
def test_each_section_has_the_same_pictures_beside_it(drawn):
  mixing, _ = drawn
  assert mixing.shape[:2] == (1 + 3 * 2, 4)
  assert (mixing[0, 0] == 255).all()
  left = mixing[1:, 0].reshape(3, 2, 32, 32, 3)
  assert (left == left[:1]).all()
  assert (left[0, 0] != left[0, 1]).any()


@pytest.mark.slow
def test_mixed_pictures_take_their_layers_from_both(run, drawn):
  mixing, _ = drawn
  asked_for = kept.load(run, train.EXPERIMENTS)
  generate = sample.load(run)
  latent = styles._latents(asked_for, 5, 4)
  # Number 1 of A, 2 of B; of 8 layers the first three are coarse.
  for section, (low, high) in enumerate([(0, 3), (3, 5), (5, 8)]):
    mixed = latent[1:2].copy()
    mixed[:, low:high] = latent[4:5, low:high]
    asked = generate.conditions(1, 1) | {'latent': mixed}
    expected = np.clip(np.rint((generate.make(asked, 4) + 1) * 127.5), 0, 255)
    got = mixing[1 + 2 * section + 1, 3]
    assert np.abs(got - expected[0]).max() <= 1
    assert np.abs(got - mixing[1 + 2 * section + 1, 0]).max() > 0


@pytest.mark.slow
def test_truncation_ends_in_one_picture(drawn):
  _, truncation = drawn
  assert truncation.shape[:2] == (5, 3)
  spread = truncation.std(1).mean((1, 2, 3))
  assert spread[0] > spread[3] > 0
  assert spread[4] == 0


@pytest.mark.slow
def test_mistakes_are_told_in_a_line(run, tmp_path, capsys):
  for flags, message in (
    ((f'--workdir={run}', '--rows=0'), 'must be 1 or more'),
    ((f'--workdir={run}', '--seed=-1'), '--seed must be from 0 to'),
    ((f'--workdir={tmp_path}',), 'holds no run'),
  ):
    with pytest.raises(SystemExit) as exit:
      styles.main(flags)
    assert exit.value.code == 2
    assert message in capsys.readouterr().err
  with pytest.raises(styles.UserError, match='16 pixels or more'):
    styles._sections(4)
