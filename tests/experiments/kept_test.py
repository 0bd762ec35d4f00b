"""Tests of what a workdir keeps of a run, and of what may go on there."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest
from toy_experiments import EXPERIMENTS, Digits, Folder, refusal

from experiments import config, kept, own_data


def test_saved_run_is_loaded_again(tmp_path):
  folder = Folder(path='ä b', betas=(0, 0.5), widths=(), loss='minimax')
  for name, numbers in [('folder', folder), ('mnist-dcgan', Digits(seed=3))]:
    run = config.Run(name, tmp_path, numbers)
    kept.save(run)
    assert kept.load(tmp_path, EXPERIMENTS) == run
  assert [path.name for path in tmp_path.iterdir()] == ['config.json']


def test_config_json_holds_the_name_and_every_number(tmp_path):
  kept.save(config.Run('folder', tmp_path, Folder(path='a', steps=5)))
  entries = json.loads((tmp_path / 'config.json').read_text())
  assert entries['experiment'] == 'folder'
  assert entries['config'] == {
    'steps': 5,
    'batch_size': 16,
    'seed': 0,
    'log_every': 100,
    'sample_every': 500,
    'save_every': 500,
    'evaluate_every': 0,
    'best_by': 'frechet_distance',
    'keep': 2,
    'steps_per_dispatch': 0,
    'microbatches': 1,
    'rematerialize': False,
    'bfloat16': False,
    'path': 'a',
    'betas': [0.5, 0.999],
    'widths': [64, 32],
    'loss': 'hinge',
    'flip': True,
  }


def test_interrupted_save_leaves_the_old_config(tmp_path, monkeypatch):
  run = config.Run('digits', tmp_path, Digits())
  kept.save(run)

  def interrupted(*paths):
    raise KeyboardInterrupt

  monkeypatch.setattr(os, 'replace', interrupted)
  with pytest.raises(KeyboardInterrupt):
    kept.save(run._replace(config=Digits(steps=9)))
  assert kept.load(tmp_path, EXPERIMENTS) == run


def test_load_names_a_workdir_without_a_run(tmp_path):
  message = refusal(kept.load, tmp_path / 'a', EXPERIMENTS)
  assert message == f'{tmp_path / "a"} holds no run: it has no config.json'


def test_resume_of_an_empty_or_missing_workdir_is_free(tmp_path):
  kept.check_resume(config.Run('digits', tmp_path, Digits()))
  kept.check_resume(config.Run('digits', tmp_path / 'a', Digits()))
  assert list(tmp_path.iterdir()) == []


def test_resume_may_change_length_rhythm_and_the_datas_place(tmp_path):
  kept.save(config.Run('digits', tmp_path, Digits()))
  changed = Digits(
    steps=9, log_every=9, sample_every=9, save_every=9, keep=9, data_dir='a'
  )
  kept.check_resume(config.Run('digits', tmp_path, changed))


def test_resume_of_another_config_lists_the_differences(tmp_path):
  kept.save(config.Run('digits', tmp_path, Digits()))
  other = Digits(batch_size=8, mirror=True, steps=9, learning_rate=0.1)
  message = refusal(kept.check_resume, config.Run('digits', tmp_path, other))
  assert message.splitlines() == [
    f'{tmp_path} holds another run:',
    '  batch_size: 64 there, 8 given',
    '  learning_rate: 0.0002 there, 0.1 given',
    '  mirror: False there, True given',
    'Give another --workdir, or the flags of the run that is there.',
  ]


def test_resume_of_another_experiment_is_refused(tmp_path):
  kept.save(config.Run('digits', tmp_path, Digits()))
  run = config.Run('folder', tmp_path, Folder(path='a'))
  message = refusal(kept.check_resume, run)
  assert "  experiment: 'digits' there, 'folder' given" in message


def test_resume_of_a_damaged_config_is_refused(tmp_path):
  (tmp_path / 'config.json').write_text('{')
  run = config.Run('digits', tmp_path, Digits())
  assert 'is not JSON' in refusal(kept.check_resume, run)


def test_writable_makes_the_folder_and_leaves_it_empty(tmp_path):
  kept.writable(tmp_path / 'a' / 'b')
  kept.writable(tmp_path / 'a' / 'b')
  assert list((tmp_path / 'a' / 'b').iterdir()) == []


def test_file_in_the_way_of_a_workdir_is_told(tmp_path):
  file = tmp_path / 'file'
  file.write_text('kept')
  for workdir in [file, file / 'a']:
    message = refusal(kept.writable, workdir)
    assert message.startswith(f'--workdir={workdir} cannot be written to')
  assert file.read_text() == 'kept'


@pytest.mark.parametrize('name', ['samples', 'checkpoints', 'best'])
def test_file_in_the_way_of_a_folder_of_a_run_is_told(tmp_path, name):
  path = tmp_path / name
  path.write_text('kept')
  told = f'{path} is in the way: a run has a folder of that name'
  assert refusal(kept.writable, tmp_path).startswith(told)
  assert path.read_text() == 'kept'
  path.unlink()
  path.symlink_to(tmp_path / 'elsewhere')  # a disk that is not mounted
  assert refusal(kept.writable, tmp_path).startswith(told)
  (tmp_path / 'elsewhere').mkdir()
  kept.writable(tmp_path)


@pytest.mark.parametrize(
  'name', ['batch.json', 'metrics.jsonl', 'reals.png', 'config.json']
)
def test_folder_in_the_way_of_a_file_of_a_run_is_told(tmp_path, name):
  path = tmp_path / name
  path.mkdir()
  told = f'{path} is in the way: a run has a file of that name'
  assert refusal(kept.writable, tmp_path).startswith(told)
  path.rmdir()
  path.write_text('')
  kept.writable(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs /proc')
@pytest.mark.parametrize('workdir', ['/proc', '/proc/a/b'])
def test_unwritable_place_is_told(workdir):
  assert 'cannot be written to' in refusal(kept.writable, Path(workdir))


def test_a_file_that_is_not_there_is_left_to_its_reader(tmp_path):
  file = tmp_path / 'a.csv'
  lacking = own_data.OfFile(steps=1, batch_size=1, path=str(file))
  assert lacking.sha256 == ''
  with pytest.raises(FileNotFoundError, match='there is no file'):
    own_data.check_file(lacking.path, lacking.sha256)
  file.write_text('a\n1\n')
  there = dataclasses.replace(lacking)
  assert len(there.sha256) == 64
  run = config.Run('series', tmp_path / 'run', there)
  kept.save(run)
  kept.check_resume(run._replace(config=lacking))
