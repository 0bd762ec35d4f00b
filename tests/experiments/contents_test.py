"""Runs on folders whose files change."""

import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image
from runs import built
from scipy.io import wavfile

from experiments import (
  clips,
  command_line,
  evaluate,
  folder,
  kept,
  own_data,
  paired,
  sample,
  sounds,
  train,
  unpaired,
)

SMALL = ('--batch-size=2', '--width=4', '--latent-dim=4', '--resolution=8')


def picture(path, width=8, seed=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  draw = np.random.default_rng(seed)
  pixels = draw.integers(0, 256, (8, width, 3), dtype=np.uint8)
  Image.fromarray(pixels).save(path)
  return path


def sound(path):
  noise = np.random.default_rng(0).integers(-999, 999, 64, dtype=np.int16)
  path.parent.mkdir(parents=True, exist_ok=True)
  wavfile.write(path, 8000, noise)


def files(make, path, end):
  for i in range(4):
    make(path / f'{i}{end}')
  return path


def of_folder(path):
  return folder.Config(path=str(files(picture, path, '.png')), resolution=8)


def of_pairs(path):
  files(lambda file: picture(file, 16), path, '.png')
  return paired.Config(path=str(path), resolution=8)


def of_held_out_pairs(path):
  files(lambda file: picture(file, 16), path, '.png')
  seen = files(lambda file: picture(file, 16), path.parent / 'seen', '.png')
  return paired.Config(path=str(seen), held_out=str(path), resolution=8)


def of_domains(path):
  x = files(picture, path.parent / 'x', '.png')
  y = files(picture, path, '.png')
  return unpaired.Config(x=str(x), y=str(y), resolution=8)


def of_sounds(path):
  files(sound, path, '.wav')
  return sounds.Config(path=str(path), length=64, rate=8000)


def of_clips(path):
  return clips.Config(
    path=str(files(picture, path, '.png')), resolution=8, frames=2
  )


@pytest.mark.parametrize(
  ('experiment', 'made'),
  [
    (folder, of_folder),
    (paired, of_pairs),
    (paired, of_held_out_pairs),
    (unpaired, of_domains),
    (sounds, of_sounds),
    (clips, of_clips),
  ],
)
def test_data_are_those_that_the_run_began_with(experiment, made, tmp_path):
  path = tmp_path / 'data'
  config = made(path)
  (last,) = path.glob('3.*')
  renamed = last.rename(path / f'4{last.suffix}')
  with pytest.raises(ValueError, match=r'data has changed since .* files: '):
    experiment.make_data(config)
  renamed.rename(last)
  assert len(experiment.make_data(config))


@pytest.fixture(scope='module')
def begun(tmp_path_factory):
  """A run on two classes, of a folder that is then moved."""
  path = tmp_path_factory.mktemp('begun')
  with pytest.MonkeyPatch.context() as patch:
    devices = jax.devices()[:1]
    patch.setattr(jax, 'devices', lambda *args: devices)
    for name in ('cat', 'dog'):
      files(picture, path / 'data' / name, '.png')
    train.main(flags(path, '--steps=1'))
    yield path


@pytest.fixture
def run(begun, tmp_path):
  """A copy of it, whose config names the copy of the folder."""
  shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
  file = tmp_path / 'run' / 'config.json'
  file.write_text(file.read_text().replace(str(begun), str(tmp_path)))
  return tmp_path


def flags(path, *more):
  return [
    'folder',
    f'--workdir={path / "run"}',
    f'--path={path / "data"}',
    '--num-classes=2',
    *SMALL,
    *more,
  ]


def parse(words):
  return command_line.parse(words, train.EXPERIMENTS, train.DEFAULT)


def refused(command, words, capsys):
  with pytest.raises(SystemExit) as exit:
    command(words)
  assert exit.value.code == 2
  return capsys.readouterr().err


def rename_class(path):
  # Its label was 0, and would be 1.
  (path / 'data' / 'cat').rename(path / 'data' / 'lynx')


def test_a_run_does_not_go_on_with_other_data(run, capsys):
  rename_class(run)
  told = refused(train.main, flags(run, '--steps=2'), capsys)
  assert f'the data of {run / "run"} have changed' in told
  assert "contents: 'files: 8, SHA-256: " in told
  command = [f'--config={run / "run/config.json"}', f'--workdir={run / "new"}']
  told = refused(train.main, command, capsys)
  assert 'has changed since the run began: files: 8' in told
  built(parse([*command, '--contents=']))
  data = (run / 'data').rename(run / 'elsewhere')
  told = refused(train.main, flags(run, '--steps=2'), capsys)
  assert f'there is no folder {run / "data"}' in told
  data.rename(run / 'data')
  (run / 'data' / 'lynx').rename(run / 'data' / 'cat')
  kept.check_resume(parse(flags(run, '--steps=2')))


def test_a_workdir_among_the_data_is_refused(run, capsys):
  data = run / 'data'
  for workdir in (data, data / 'cat' / 'run'):
    words = flags(run, f'--workdir={workdir}')
    told = refused(train.main, words, capsys)
    assert 'samples of the run would be taken for its data' in told
  assert not (data / 'cat' / 'run').exists()
  own_data.check_apart(parse(flags(run, f'--workdir={data / ".run"}')))


def test_a_run_is_not_scored_with_other_data_and_is_sampled(run, capsys):
  rename_class(run)
  told = refused(evaluate.main, [f'--workdir={run / "run"}'], capsys)
  assert 'has changed since the run began' in told
  sample.main([f'--workdir={run / "run"}', '--count=2'])
  shutil.rmtree(run / 'data')
  sample.main([f'--workdir={run / "run"}', '--count=2'])


def test_a_run_of_before_this_was_kept_goes_on(run, capsys):
  file = run / 'run' / 'config.json'
  content = json.loads(file.read_text())
  kept_then = content['config'].pop('contents')
  file.write_text(json.dumps(content))
  data = (run / 'data').rename(run / 'elsewhere')
  sample.main([f'--workdir={run / "run"}', '--count=2'])
  data.rename(run / 'data')
  train.main(flags(run, '--steps=2'))
  assert 'from step 1' in capsys.readouterr().out
  assert json.loads(file.read_text())['config']['contents'] == kept_then
