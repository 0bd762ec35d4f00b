"""What discriminators know by heart: the table, from small real runs."""

import json

import jax
import numpy as np
import pytest

from experiments import data, overfitting, sample, train
from experiments.errors import UserError

pytestmark = pytest.mark.usefixtures('one_device')
SMALL = ('--width=4', '--latent-dim=4', '--batch-size=20', '--steps=2')


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('overfitting')
  jax.config.update('jax_compilation_cache_dir', str(folder / 'cache'))
  train.main([f'--workdir={folder / "run"}', *SMALL])
  return folder / 'run'


@pytest.fixture(scope='module')
def held_out(tmp_path_factory):
  """Noise in the form of the digits: the discriminator sees it is none."""
  path = tmp_path_factory.mktemp('held_out') / 'noise.npz'
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (40, 32, 32, 1), np.uint8)
  np.savez(path, image=image, label=np.arange(40) % 10)
  return path


def test_the_table_of_runs(workdir, held_out, capsys):
  report = {'scores': {'frechet_distance': {'value': 12.34}}}
  (workdir / 'evaluation.json').write_text(json.dumps(report))
  overfitting.main([str(workdir), f'--held-out={held_out}', '--count=40'])
  head, _, line = capsys.readouterr().out.strip().splitlines()[-3:]
  cells = dict(
    zip(
      *([x.strip() for x in row.strip('|').split('|')] for row in (head, line)),
      strict=True,
    )
  )
  assert cells['run'] == 'run'
  assert cells['frechet distance'] == '12.3'
  assert cells['precision'] == ''
  train_logit, other, fake = (
    float(cells[f'{kind} logit']) for kind in ('train', 'held out', 'fake')
  )
  expected = (train_logit - other) / (train_logit - fake)
  assert float(cells['r v']) == pytest.approx(expected, rel=0.05)


def test_what_it_trained_on_is_judged_alike_under_another_name(
  workdir, tmp_path
):
  np.savez(tmp_path / 'same.npz', **data.digits().arrays)
  asked = overfitting.Arguments(
    runs=(), held_out=str(tmp_path / 'same.npz'), count=40
  )
  row = overfitting.row(workdir, asked)
  assert row.r_v == 0
  assert row.pairs_won_held_out == row.pairs_won_train


def test_a_game_without_logits_is_refused(workdir):
  generate = sample.load(workdir)
  lazy = generate.gan.players[0]._replace(name='critic')
  other = generate._replace(gan=generate.gan._replace(players=(lazy,)))
  with pytest.raises(UserError, match='no player called discriminator'):
    overfitting.judged(other, data.digits(), 20, 1, seed=0)


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--count=0'], '--count of 1 or more'),
    (['--seed=-1'], '--seed must be from 0 to'),
    (['--held-out=nowhere'], 'nowhere is no folder'),
  ],
)
def test_mistakes_are_told(flags, message, workdir, held_out, capsys):
  with pytest.raises(SystemExit) as status:
    overfitting.main([str(workdir), f'--held-out={held_out}', *flags])
  assert status.value.code == 2
  assert message in capsys.readouterr().err
