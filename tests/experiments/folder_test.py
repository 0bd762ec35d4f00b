"""Non-square pictures of 16 bits, from files to files of samples."""

import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import data, evaluate, kept, sample, scoring, sweep, train
from experiments import folder as experiment
from experiments.sampler import Samples

LEVELS = (50, 4001)
COUNT = 70  # as many at least as the features of a score have dimensions
SMALL = ('--steps=2', '--batch-size=8', '--width=4', '--latent-dim=4')


@pytest.fixture(scope='module', autouse=True)
def one_device(tmp_path_factory):
  """The loop takes all devices; these tests want it on one."""
  devices, cache = jax.devices, jax.config.jax_compilation_cache_dir
  jax.devices = lambda *args: devices(*args)[:1]
  folder = str(tmp_path_factory.mktemp('cache'))
  jax.config.update('jax_compilation_cache_dir', folder)
  yield
  jax.devices = devices
  jax.config.update('jax_compilation_cache_dir', cache)


def write(folder, low, high, seed=0):
  """Pictures of 16-bit grey, with both levels somewhere; returns them."""
  folder.mkdir()
  draw = np.random.default_rng(seed)
  pixels = draw.integers(low, high + 1, (COUNT, 16, 12), dtype=np.uint16)
  pixels[0, 0, :2] = low, high
  for i, image in enumerate(pixels):
    Image.fromarray(image).save(folder / f'{i:02}.png')
  return pixels


@pytest.fixture(scope='module')
def scans(tmp_path_factory):
  """A folder of pictures of 12 bits in files of 16, and their pixels."""
  folder = tmp_path_factory.mktemp('scans') / 'files'
  return folder, write(folder, *LEVELS)


@pytest.fixture(scope='module')
def trained(scans, tmp_path_factory):
  """A run on them."""
  workdir = tmp_path_factory.mktemp('runs') / 'run'
  train.main(flags(workdir, scans[0]))
  return workdir


def flags(workdir, folder, *more):
  return [
    'folder',
    f'--workdir={workdir}',
    f'--path={folder}',
    '--channels=1',
    *('--resolution', '16', '12'),
    *('--levels', *map(str, LEVELS)),
    *SMALL,
    *more,
  ]


def config(folder, **numbers):
  return experiment.Config(
    **{'path': str(folder), 'resolution': (16, 12), 'channels': 1, **numbers}
  )


def test_the_levels_of_files_come_back_from_the_data(scans):
  folder, pixels = scans
  source = experiment.make_data(config(folder, levels=LEVELS, mirror=True))
  batch = data.batch(source, seed=0, step=0, batch_size=2 * COUNT)
  assert batch['image'].dtype == np.uint16
  seen = jax.jit(data.to_float)(batch)['image']
  assert (seen.min(), seen.max()) == (-1, 1)
  got = data.to_uint16(seen, LEVELS)[..., 0]
  both = np.concatenate([pixels, pixels[:, :, ::-1]])
  order = data.indices(0, 0, 2 * COUNT, 2 * COUNT)
  np.testing.assert_array_equal(got, both[order])


def test_samples_are_files_of_sixteen_bits_in_the_levels(trained, tmp_path):
  sample.main(
    [
      f'--workdir={trained}',
      '--count=5',
      f'--files={tmp_path / "each"}',
      f'--npz={tmp_path / "all.npz"}',
    ]
  )
  made = sample.load(trained)(5)
  assert made.shape == (5, 16, 12, 1)
  black, white = LEVELS
  expected = np.rint((made.astype(float) + 1) / 2 * (white - black)) + black
  stored = np.load(tmp_path / 'all.npz')['image']
  assert stored.dtype == np.uint16
  np.testing.assert_array_equal(stored, expected)
  assert len(np.unique(stored)) > 5 * len(np.unique(data.to_uint8(made)))
  for i, path in enumerate(sorted((tmp_path / 'each').iterdir())):
    with Image.open(path) as image:
      assert image.mode == 'I;16'
      np.testing.assert_array_equal(np.asarray(image), expected[i, ..., 0])
  with Image.open(trained / 'samples' / 'seed0.png') as grid:
    shown = np.asarray(grid)[2:18, 2:14, 0]
  np.testing.assert_array_equal(shown, data.to_uint8(made)[0, ..., 0])


def test_the_files_of_samples_can_be_trained_on(trained, tmp_path):
  sample.main(
    [f'--workdir={trained}', '--count=3', f'--files={tmp_path / "each"}']
  )
  again = data.folder(tmp_path / 'each', (16, 12))[0].arrays['image']
  assert again.dtype == np.uint16
  np.testing.assert_array_equal(
    again, data.to_uint16(sample.load(trained)(3), LEVELS)
  )


def test_reals_are_shown_from_the_same_black_to_the_same_white(scans, trained):
  _, pixels = scans
  with Image.open(trained / 'reals.png') as image:
    grid = np.asarray(image)
  first = data.indices(0, 0, 80, len(pixels))[0]
  black, white = LEVELS
  expected = np.rint((pixels[first] - black) / (white - black) * 255)
  np.testing.assert_array_equal(grid[2:18, 2:14, 0], expected)


def test_a_run_goes_on_and_is_guarded_against_another(
  scans, trained, tmp_path, capsys
):
  folder, workdir = scans[0], tmp_path / 'run'
  shutil.copytree(trained, workdir)
  train.main(flags(workdir, folder, '--steps=3'))
  assert 'from step 2' in capsys.readouterr().out
  assert sample.load(workdir)(1).shape == (1, 16, 12, 1)
  with pytest.raises(SystemExit):
    train.main(flags(workdir, folder, '--resolution', '12', '16'))
  told = capsys.readouterr().err
  assert 'resolution: (16, 12) there, (12, 16) given' in told


def test_a_config_of_before_is_read(tmp_path, capsys):
  """It has one number for the resolution, and no levels."""
  stored = {'steps': 2, 'batch_size': 8, 'path': 'here', 'resolution': 32}
  content = json.dumps({'experiment': 'folder', 'config': stored})
  (tmp_path / 'config.json').write_text(content)
  run = kept.load(tmp_path, train.EXPERIMENTS)
  assert run.config == experiment.Config(**stored)
  kept.check_resume(run)


def test_a_run_of_before_is_sampled_in_eight_bits(trained, tmp_path):
  """Its batch.json has the floats of the step."""
  shutil.copytree(trained, tmp_path / 'run')
  form = json.loads((trained / 'batch.json').read_text())
  assert form['image'] == {'shape': [8, 16, 12, 1], 'dtype': 'uint16'}
  form['image']['dtype'] = 'float32'
  (tmp_path / 'run' / 'batch.json').write_text(json.dumps(form))
  path = tmp_path / 'x.npz'
  sample.main([f'--workdir={tmp_path / "run"}', '--count=3', f'--npz={path}'])
  expected = data.to_uint8(sample.load(trained)(3))
  np.testing.assert_array_equal(np.load(path)['image'], expected)


def test_sixteen_bits_that_are_not_square_are_scored(
  scans, trained, tmp_path, monkeypatch
):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  write(tmp_path / 'held_out', *LEVELS, seed=1)
  report = evaluate.evaluate(
    evaluate.Arguments(
      workdir=str(trained),
      held_out=str(tmp_path / 'held_out'),
      count=COUNT,
      extractor='digits',
      resamples=0,
      output=str(tmp_path),
    )
  )
  # Reals, fakes and held-out pictures are all seen in the run's levels.
  reals, held_out = (
    scoring.extract(
      scoring.EXTRACTORS['digits'](),
      scoring.Pictures('', experiment.make_data(config(path, levels=LEVELS))),
    )
    for path in (scans[0], tmp_path / 'held_out')
  )
  fakes = scoring.extract(
    scoring.EXTRACTORS['digits'](),
    scoring.Pictures('', Samples(sample.load(trained), COUNT)),
  )
  expected = scoring.scores(reals, fakes, held_out, resamples=0)
  for name, score in expected.items():
    assert report['scores'][name]['value'] == pytest.approx(
      score.value, rel=1e-5
    )
  levels = data.to_uint8(
    data.stretched(data.Arrays({'image': scans[1]}), LEVELS)[np.arange(COUNT)][
      'image'
    ]
  )
  with Image.open(tmp_path / 'neighbours.png') as image:
    assert image.size == (4 * 14 + 2, 10 * 18 + 2)
    nearest = np.asarray(image)[2:18, 16:28, 0]
  assert (levels == nearest).all((1, 2)).sum() == 1


@pytest.mark.parametrize(
  ('numbers', 'message'),
  [
    (
      {},
      r'levels from 50 to 4001 of .* for instance --levels 50 4001',
    ),
    ({'levels': (4001, 50)}, 'a black below a white'),
    ({'levels': LEVELS, 'channels': 3}, '--levels is for 16-bit grey'),
  ],
)
def test_levels_that_do_not_suit_are_refused(scans, numbers, message):
  with pytest.raises(ValueError, match=message):
    experiment.make_data(config(scans[0], **numbers))


def test_pixels_outside_of_the_levels_are_told(scans, capsys):
  folder, pixels = scans
  experiment.make_data(config(folder, levels=LEVELS))
  assert capsys.readouterr().err == ''
  source = experiment.make_data(config(folder, levels=(100, 2000)))
  share = np.mean((pixels < 100) | (pixels > 2000))
  told = capsys.readouterr().err
  assert (
    f'{share:.2%} of the pixels of {folder} are outside of --levels ' in told
  )
  assert 'from 50 to 4001' in told
  image = source[np.arange(COUNT)]['image'][..., 0]
  np.testing.assert_array_equal(image == 0, pixels <= 100)
  np.testing.assert_array_equal(image == 65535, pixels >= 2000)


def test_a_whole_range_needs_no_levels(tmp_path):
  pixels = write(tmp_path / 'files', 0, 65535)
  source = experiment.make_data(config(tmp_path / 'files'))
  image = source[np.arange(COUNT)]['image'][..., 0]
  np.testing.assert_array_equal(image, pixels)


def test_sizes_out_of_reach_are_told_in_a_line(scans, tmp_path, capsys):
  with pytest.raises(SystemExit) as status:
    train.main(flags(tmp_path / 'run', scans[0], '--resolution', '16', '13'))
  assert status.value.code == 2
  assert '(16, 14) is the nearest' in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('command', 'flag'), [(train, '--evaluate-every=1'), (sweep, '--seeds=2')]
)
def test_pictures_too_few_for_scores_are_told_before_training(
  command, flag, scans, tmp_path, capsys
):
  (tmp_path / 'files').mkdir()
  for i in range(5):
    shutil.copy(scans[0] / f'{i:02}.png', tmp_path / 'files')
  words = flags(tmp_path / 'run', tmp_path / 'files')
  with pytest.raises(SystemExit) as status:
    command.main([*words, '--best-by=kernel_distance', flag])
  assert status.value.code == 2
  told = capsys.readouterr().err
  assert 'folder need 6 images or more, and its data have 5' in told
  assert not (tmp_path / 'run').exists()
