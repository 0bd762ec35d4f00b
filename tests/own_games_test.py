"""The game of docs/own_games.md plays as it is written there."""

import re
import types
from pathlib import Path

import jax
import numpy as np
import pytest

import jgan
from experiments import train

PAGE = Path(__file__).parents[1] / 'docs/own_games.md'


@pytest.fixture(scope='module')
def names(tmp_path_factory):
  """What the page's blocks define, after two steps."""
  blocks = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
  assert len(blocks) == 4
  found = {'__name__': __name__}
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(tmp_path_factory.mktemp('page'))
    for block in blocks:
      exec(block.replace('range(10_000)', 'range(2)'), found)
    assert Path('bigan.png').is_file()
  return found


def test_each_player_moves(names):
  start = jgan.init(names['gan'], names['key'], names['batch'](0))
  assert int(names['state'].step) == 2
  for name, own in names['state'].variables.items():
    for new, old in zip(
      *map(jax.tree.leaves, (own, start.variables[name])), strict=True
    ):
      assert not np.array_equal(new, old), name


def test_samples_are_of_codes_or_of_latents(names):
  again, drawn = (np.asarray(names[x]) for x in ('again', 'drawn'))
  assert again.shape == drawn.shape == (16, 28, 28, 1)
  assert not np.allclose(again, drawn, atol=0.01)


def test_the_commands_play_it(names, monkeypatch, tmp_path):
  devices = jax.devices()[:1]
  monkeypatch.setattr(jax, 'devices', lambda *args: devices)
  monkeypatch.setitem(
    train.EXPERIMENTS, 'bigan', types.SimpleNamespace(**names)
  )
  train.main(['bigan', f'--workdir={tmp_path}', '--steps=2', '--batch-size=8'])
  assert (tmp_path / 'samples/000002.png').is_file()
