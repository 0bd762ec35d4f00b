"""Translating pictures with the commands: training, own pictures, scores."""

import json
import re

import jax
import numpy as np
import pytest
import translators
from PIL import Image

from experiments import (
  data,
  evaluate,
  extractors,
  mnist_cyclegan,
  openmoji_pix2pix,
  paired,
  pix2pix,
  sample,
  train,
  translation,
  unpaired,
)
from experiments.data import decode
from jgan import metrics

pytestmark = pytest.mark.slow

SMALL = (
  '--steps=2',
  '--batch-size=4',
  '--resolution=8',
  '--width=8',
  '--discriminator-width=8',
  '--layers=1',
  '--constant-steps=1',
  '--decay-steps=1',
)


@pytest.fixture(scope='module', autouse=True)
def one_device(tmp_path_factory):
  """The loop takes all devices; these tests want it on one, with a cache."""
  devices, cache = jax.devices, jax.config.jax_compilation_cache_dir
  jax.devices = lambda *args: devices(*args)[:1]
  folder = str(tmp_path_factory.mktemp('cache'))
  jax.config.update('jax_compilation_cache_dir', folder)
  yield
  jax.devices = devices
  jax.config.update('jax_compilation_cache_dir', cache)


@pytest.fixture(autouse=True)
def cheap_features(monkeypatch):
  """Means of colours in place of a network whose weights would be fetched."""
  monkeypatch.setattr(
    extractors,
    'efficientnet',
    lambda: extractors.Extractor(
      'colours',
      'none',
      'none',
      _colour,
      3,
      has_classes=False,
    ),
  )


def _colour(images):
  return translation.as_colour(np.float32(images)).mean((1, 2)), None


def _picture(path, width, height=8, seed=0, mode='RGB'):
  path.parent.mkdir(parents=True, exist_ok=True)
  draw = np.random.default_rng(seed)
  pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
  Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('pairs')
  for i in range(20):
    _picture(folder / f'{i:02}.png', 16, seed=i)
  return folder


@pytest.fixture(scope='module')
def domains(tmp_path_factory):
  """Two folders of unequal size, one of them of grey pictures."""
  folder = tmp_path_factory.mktemp('domains')
  for i in range(30):
    _picture(folder / 'grey' / f'{i}.png', 9, 11, i, 'L')
  for i in range(20):
    _picture(folder / 'colour' / f'{i}.jpg', 10, 8, i)
  return folder


@pytest.fixture(scope='module')
def paired_run(pairs, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('runs') / 'paired'
  train.main(['paired', f'--workdir={workdir}', f'--path={pairs}', *SMALL])
  return workdir


@pytest.fixture
def unpaired_run(domains, tmp_path):
  """A run whose networks are small, also when it is sampled from."""
  workdir = tmp_path / 'unpaired'
  with translators.small():
    train.main(
      [
        'unpaired',
        f'--workdir={workdir}',
        f'--x={domains / "grey"}',
        f'--y={domains / "colour"}',
        '--x-channels=1',
        '--pool-size=6',
        *SMALL,
      ]
    )
    yield workdir


def _size(path):
  with Image.open(path) as image:
    return image.size


def test_a_run_shows_input_translation_and_truth_of_held_out_pairs(
  paired_run, pairs
):
  grid = paired_run / 'samples' / '000002.png'
  assert _size(grid) == (2 * 3 * 10 + 2, 10 + 2)  # two are held out
  shown = np.asarray(Image.open(grid))
  first = shown[2:10, 2:10], shown[2:10, 22:30]
  held_out = data.parted(data.paired_folder(pairs, 8), 0.1)[1]
  pair = held_out[np.arange(1)]
  np.testing.assert_array_equal(first[0], pair['x'][0])
  np.testing.assert_array_equal(first[1], pair['y'][0])
  assert _size(paired_run / 'reals.png') == (12 * 10 + 2, 4 * 10 + 2)


def test_own_pictures_are_translated(paired_run, domains, tmp_path):
  flags = [f'--workdir={paired_run}', f'--input={domains / "colour"}']
  out = tmp_path / 'out'
  sample.main([*flags, f'--files={out}', f'--npz={out / "all.npz"}'])
  made = np.load(out / 'all.npz')['y']
  assert made.shape == (20, 8, 8, 3)  # all of the folder
  assert sorted(path.name for path in out.glob('*.png'))[-1] == '000019.png'
  np.testing.assert_array_equal(
    np.asarray(Image.open(out / '000000.png')), made[0]
  )
  one = domains / 'colour' / '0.jpg'
  sample.main(
    [
      f'--workdir={paired_run}',
      f'--input={one}',
      f'--npz={out / "one.npz"}',
      f'--grid={out / "grid.png"}',
    ]
  )
  np.testing.assert_array_equal(np.load(out / 'one.npz')['y'][0], made[0])
  assert _size(out / 'grid.png') == (2 * 10 + 2, 12)
  sample.main([*flags, '--count=3', f'--npz={out / "three.npz"}'])
  np.testing.assert_array_equal(np.load(out / 'three.npz')['y'], made[:3])


@pytest.mark.parametrize(
  ('domain', 'names', 'channels'),
  [
    ('', {'fake_y': 3, 'cycle_x': 1}, 1),
    ('y:', {'fake_x': 1, 'cycle_y': 3}, 3),
  ],
)
def test_own_pictures_of_either_domain_are_translated(
  domain, names, channels, unpaired_run, domains, tmp_path
):
  npz = tmp_path / 'all.npz'
  sample.main(
    [
      f'--workdir={unpaired_run}',
      f'--input={domain}{domains / "grey"}',
      f'--npz={npz}',
      f'--files={tmp_path}',
      f'--grid={tmp_path / "grid.png"}',
    ]
  )
  with np.load(npz) as made:
    shapes = {name: made[name].shape for name in made.files}
    fake = made[min(names, key=lambda name: name.startswith('cycle'))][0]
  assert shapes == {name: (30, 8, 8, c) for name, c in names.items()}
  one = np.asarray(Image.open(tmp_path / '000000.png'))
  np.testing.assert_array_equal(one.reshape(fake.shape), fake)
  assert _size(tmp_path / 'grid.png')[0] == 12 * 10 + 2


def test_both_directions_are_shown(unpaired_run):
  # Two of twenty are held out: input, translation and back, of x and of y.
  grid = unpaired_run / 'samples' / '000002.png'
  assert _size(grid) == (12 * 10 + 2, 10 + 2)


@pytest.fixture(scope='module')
def scans(tmp_path_factory):
  """Two folders of 16-bit grey, of equal names and different windows."""
  folder = tmp_path_factory.mktemp('scans')
  for name, low, high in (('A', 0, 4096), ('B', 1000, 1200)):
    (folder / name).mkdir()
    draw = np.random.default_rng(low)
    for i in range(20):
      pixels = draw.integers(low, high, (8, 8), dtype=np.uint16)
      Image.fromarray(pixels).save(folder / name / f'{i:02}.png')
  return folder


GREY = ('--x-channels=1', '--y-channels=1')
LEVELS = (*('--x-levels', '0', '4095'), *('--y-levels', '1000', '1199'))


def _of_scans(name, folder):
  return {
    'paired': ['paired', f'--path={folder}'],
    'unpaired': ['unpaired', f'--x={folder / "A"}', f'--y={folder / "B"}'],
  }[name]


@pytest.mark.parametrize(
  ('name', 'domain', 'made', 'levels'),
  [
    ('paired', '', 'y', (1000, 1199)),
    ('unpaired', '', 'fake_y', (1000, 1199)),
    ('unpaired', 'y:', 'fake_x', (0, 4095)),
  ],
)
def test_scans_become_scans_of_16_bits(
  name, domain, made, levels, scans, tmp_path, capsys
):
  workdir, side = tmp_path / 'run', 'B' if domain else 'A'
  words = [*_of_scans(name, scans), f'--workdir={workdir}', *SMALL, *GREY]
  with translators.small():
    train.main([*words, *LEVELS])
    sample.main(
      [
        f'--workdir={workdir}',
        f'--input={domain}{scans / side}',
        f'--files={tmp_path / "made"}',
        f'--npz={tmp_path / "made.npz"}',
        f'--grid={tmp_path / "grid.png"}',
      ]
    )
  assert capsys.readouterr().err == ''
  images = np.load(tmp_path / 'made.npz')[made]
  assert (images.shape, images.dtype) == ((20, 8, 8, 1), np.uint16)
  assert levels[0] <= images.min() < images.max() <= levels[1]
  with Image.open(tmp_path / 'made' / '000007.png') as one:
    np.testing.assert_array_equal(np.asarray(one), images[7, ..., 0])
  # On the grid a scan is in its window, beside its translation.
  low, high = (1000, 1199) if domain else (0, 4095)
  with Image.open(scans / side / '00.png') as scan:
    expected = (np.asarray(scan) - float(low)) * (255 / (high - low))
  shown = np.asarray(Image.open(tmp_path / 'grid.png'))[2:10, 2:10, 0]
  np.testing.assert_allclose(shown, expected, atol=0.51)


@pytest.mark.parametrize('name', ['paired', 'unpaired'])
@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (GREY, r'from \d+ to 40\d\d of 65,536; say .* --x-levels \d+ 40\d\d$'),
    ((*GREY, *LEVELS[:3]), 'say which are .* for instance --y-levels'),
    (LEVELS, '--x-levels is for 16-bit grey.* and for --x-channels=1'),
  ],
)
def test_levels_must_be_told(name, flags, message, scans, tmp_path, capsys):
  words = [*_of_scans(name, scans), f'--workdir={tmp_path / "run"}']
  with pytest.raises(SystemExit):
    train.main([*words, *SMALL, *flags])
  err = capsys.readouterr().err
  assert re.search(message, err, re.MULTILINE), err


def test_inputs_of_16_bits_of_a_run_of_8_are_of_the_whole_range(
  paired_run, scans, capsys
):
  config = paired.Config(x_channels=1)
  asked = paired.load_inputs(config, str(scans / 'A'))
  assert asked['x'].dtype == np.uint16
  told = capsys.readouterr().err
  assert '65535 for white, since the run has no --x-levels' in told
  asked = paired.load_inputs(paired.Config(), str(scans / 'A'))
  assert asked['x'].dtype == np.uint8


def test_evaluate_scores_translations(paired_run, unpaired_run, capsys):
  evaluate.main([f'--workdir={paired_run}'])
  report = json.loads((paired_run / 'evaluation.json').read_text())
  found = {name: x['value'] for name, x in report['scores'].items()}
  assert {'l1', 'psnr', 'kernel_distance', 'l1_of_inputs'} <= set(found)
  assert 'frechet_distance' not in found  # of two pictures
  assert 0 < found['l1'] < 1
  assert report['protocol']['fake_count'] == 2
  evaluate.main([f'--workdir={unpaired_run}'])
  report = json.loads((unpaired_run / 'evaluation.json').read_text())
  assert set(report['scores']) > set(unpaired.LOWER_IS_BETTER)
  assert 'cycle_error' in capsys.readouterr().out


class _Translator:
  """What the scores see of a sampler: inputs, and made-up translations."""

  def __init__(self, asked, made):
    count = len(next(iter(asked.values())))
    self.asked = data.to_float({**asked, 'index': np.arange(count)})
    self.made = data.to_float(made)

  def conditions(self, count):
    return {name: x[:count] for name, x in self.asked.items()}

  def make(self, asked, seed):
    count = len(asked['index'])
    made = {name: x[:count] for name, x in self.made.items()}
    return made.get('only', made)


def test_scores_of_pairs_by_hand():
  draw = np.random.default_rng(0)
  y = draw.integers(0, 200, (6, 4, 4, 3), dtype=np.uint8)
  x = draw.integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
  generate = _Translator({'x': x, 'y': y}, {'only': y + 51})
  found = pix2pix.score(pix2pix.Config(steps=1, batch_size=1), generate, 6, 0)
  scores = {name: score.value for name, score in found.scores.items()}
  # Each level is a fifth of the range away.
  assert scores['l1'] == pytest.approx(0.2, abs=1e-6)
  assert scores['psnr'] == pytest.approx(-20 * np.log10(0.2), abs=1e-4)
  assert scores['frechet_distance'] == pytest.approx(3 * 51**2, rel=1e-3)
  away = np.abs(x.astype(float) - y) / 255
  assert scores['l1_of_inputs'] == pytest.approx(away.mean(), rel=1e-5)
  decibels = -10 * np.log10((away**2).mean((1, 2, 3)))
  assert scores['psnr_of_inputs'] == pytest.approx(decibels.mean(), rel=1e-5)
  assert pix2pix.psnr(y, y) == 100


def test_one_held_out_pair_has_errors_and_is_too_few_for_a_kernel_distance(
  tmp_path, capsys
):
  for name in ('00.png', '01.png'):
    _picture(tmp_path / 'two' / name, 16)
  workdir = tmp_path / 'run'
  flags = ['paired', f'--workdir={workdir}', f'--path={tmp_path / "two"}']
  with pytest.raises(SystemExit):
    train.main([*flags, *SMALL, '--evaluate-every=1'])
  assert 'needs two held-out pictures or more' in capsys.readouterr().err
  assert not workdir.exists()
  train.main([*flags, *SMALL, '--evaluate-every=1', '--best-by=l1'])
  assert json.loads((workdir / 'best.json').read_text())['l1'] < 1


@pytest.mark.parametrize(
  'numbers',
  [
    {},
    {'invert': False, 'quarter_turns': 1},
    {'coloured': True, 'quarter_turns': 3},
    {'invert': False, 'coloured': True},
  ],
)
def test_a_changed_digit_can_be_restored(numbers):
  config = mnist_cyclegan.Config(**numbers)
  image = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 1), np.uint8)
  y = mnist_cyclegan.changed(config, image)
  assert y.shape == (5, 6, 6, 3 if config.coloured else 1)
  assert y.dtype == np.uint8
  back = mnist_cyclegan.restored(config, y)
  np.testing.assert_allclose(back.astype(int), image.astype(int), atol=1)
  assert np.abs(translation.as_colour(image) - y.astype(int)).mean() > 20


def test_inversion_and_rotation_by_hand():
  image = np.array([[[[0], [100]], [[200], [255]]]], np.uint8)
  config = mnist_cyclegan.Config()
  inverted = mnist_cyclegan.changed(config, image)[0, ..., 0]
  assert inverted.tolist() == [[255, 155], [55, 0]]
  config = mnist_cyclegan.Config(invert=False, quarter_turns=1)
  turned = mnist_cyclegan.changed(config, image)[0, ..., 0]
  assert turned.tolist() == [[100, 255], [0, 200]]


@pytest.fixture
def digits(monkeypatch):
  """Every fifth of the digits in a package, in place of MNIST."""
  arrays = data.digits(28).arrays
  arrays = {name: x[::5] for name, x in arrays.items()}
  mnist_cyclegan._held_out.cache_clear()
  monkeypatch.setattr(
    data, 'tfds_images', lambda *args: data.Arrays(dict(arrays))
  )
  yield arrays
  mnist_cyclegan._held_out.cache_clear()


def test_no_digit_is_in_both_domains(digits):
  config = mnist_cyclegan.Config()
  source = mnist_cyclegan.make_data(config)
  x, y = (
    source.domains['x'].arrays['image'],
    source.domains['y'].arrays['image'],
  )
  np.testing.assert_array_equal(x, digits['image'][:500])
  np.testing.assert_array_equal(y, 255 - digits['image'][500:])


def test_scores_of_digits_by_hand(digits):
  config = mnist_cyclegan.Config()
  asked = mnist_cyclegan.make_conditions(config, 1000)
  x, y = asked['x'], asked['y']
  assert len(x) == 500
  perfect = _Translator(asked, {'fake_y': 255 - x, 'fake_x': 255 - y})
  idle = _Translator(asked, {'fake_y': x, 'fake_x': y})
  found = [
    {
      name: score.value
      for name, score in mnist_cyclegan.score(
        config, each, 300, 0
      ).scores.items()
    }
    for each in (perfect, idle)
  ]
  assert found[0]['error'] == found[0]['error_back'] == 0
  assert found[0]['class_kept'] == found[0]['class_of_digits'] > 0.95
  assert found[0]['class_kept_back'] > 0.95
  away = np.abs(255 - 2 * x[:300].astype(float)).mean() / 255
  for scores in found:  # doing nothing is in both
    assert scores['error_of_inputs'] == pytest.approx(away, rel=1e-5)
  for name in ('error', 'error_back', 'class_kept', 'class_kept_back'):
    assert found[1][name] == found[1][f'{name}_of_inputs']
  assert found[1]['class_kept'] < 0.5


def test_translations_are_compared_with_the_domain_they_are_made_for():
  draw = np.random.default_rng(0)
  x, y = (draw.integers(0, 256, (9, 4, 4, 3), dtype=np.uint8) for _ in 'xy')
  made = {'fake_y': y, 'fake_x': y, 'cycle_x': x, 'cycle_y': 255 - y}
  generate = _Translator({'x': x, 'y': y}, made)
  found = unpaired.score(unpaired.Config(), generate, 9, 0).scores
  of_x, of_y = (_colour(image)[0] for image in (x, y))
  apart = metrics.frechet_distance(of_x, of_y)
  kernel = metrics.kernel_distance(of_x, of_y, subsets=1, subset_size=9).mean
  assert found['kernel_distance_to_x'].value == pytest.approx(kernel, rel=1e-3)
  assert found['kernel_distance_of_inputs'] == found['kernel_distance_to_x']
  assert found['frechet_distance_to_y'].value == pytest.approx(0, abs=0.1)
  assert found['frechet_distance_to_x'].value == pytest.approx(apart, rel=1e-3)
  assert found['frechet_distance'].value == pytest.approx(apart / 2, rel=1e-2)
  error = np.abs(255 - 2.0 * y).mean() / 255 / 2  # of one of two domains
  assert found['cycle_error'].value == pytest.approx(error, rel=1e-3)


def test_domains_too_large_for_the_memory_stay_in_their_files(
  domains, monkeypatch
):
  config = unpaired.Config(
    x=str(domains / 'grey'), y=str(domains / 'colour'), resolution=8
  )

  def made():
    unpaired._read.cache_clear()
    source = unpaired.make_data(config)
    return {**source[np.arange(5)], **unpaired.make_conditions(config, 2)}

  expected = made()
  monkeypatch.setattr(decode, 'MAX_BYTES', 100)
  jax.tree.map(np.testing.assert_array_equal, made(), expected)


def test_pictures_of_other_channels_stand_side_by_side():
  grey = np.full((3, 2, 2, 1), 10, np.uint8)
  colour = np.full((3, 2, 2, 3), 1.0, np.float32)
  shown = translation.side_by_side([grey, colour])
  assert shown.shape == (6, 6 * 4 + 2, 3)
  assert (shown[2:4, 2:4] == 10).all()
  assert (shown[2:4, 6:8] == 255).all()


def test_a_rate_stays_and_then_falls_to_zero():
  rate = translation.decayed(2e-4, 10, 20, 30)
  expected = {0: 2e-4, 10: 2e-4, 20: 1e-4, 30: 0}
  for step, value in expected.items():
    assert float(rate(step)) == pytest.approx(value, abs=1e-9)
  assert translation.decayed(2e-4, 10, 0, 10**6) == 2e-4
  with pytest.raises(ValueError, match='rate of 0 for the last of --steps=31'):
    translation.decayed(2e-4, 10, 20, 31)


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (['paired'], 'give --path=DIR, a folder of pairs'),
    (['paired', '--path={domains}/grey'], '0.png of 9x11 cannot be split'),
    (['paired', '--path={domains}'], 'has no partner'),
    (['paired', '--path={pairs}', '--layers=2'], '12 pixels or more a side'),
    (['unpaired', '--x={pairs}'], 'give --x=DIR and --y=DIR'),
    (['unpaired', '--x={pairs}', '--y={empty}'], 'no picture under {empty}'),
    (
      ['unpaired', '--x={pairs}', '--y={pairs}', '--resolution=10'],
      'multiples of 4',
    ),
    (
      [
        'unpaired',
        '--x={pairs}',
        '--y={pairs}',
        '--y-channels=1',
        '--identity-weight=.5',
      ],
      'domains of as many channels, got 3 and 1',
    ),
    (['openmoji-pix2pix'], 'openmoji: --path= is no file; it needs an npz'),
    (['openmoji-pix2pix', '--best-by=beauty'], '--best-by=beauty is none of'),
  ],
)
def test_mistakes_are_named_and_leave_nothing(
  words, message, pairs, domains, tmp_path, capsys
):
  (tmp_path / 'empty').mkdir()
  names = {'pairs': pairs, 'domains': domains, 'empty': tmp_path / 'empty'}
  flags = () if words[0].startswith('openmoji') else SMALL
  with pytest.raises(SystemExit) as status:
    train.main(
      [
        words[0],
        f'--workdir={tmp_path / "run"}',
        *flags,
        *(word.format(**names) for word in words[1:]),
      ]
    )
  assert status.value.code == 2
  err = capsys.readouterr().err
  assert message.format(**names) in err
  assert 'Traceback' not in err
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--input={tmp}/none'], 'there is no folder {tmp}/none'),
    (['--input={tmp}'], 'no picture under {tmp}'),
    (['--input='], 'needs the path of a folder of pictures'),
    (['--input={tmp}', '--label=3'], '--input and --label do not go together'),
    (['--input={pairs}', '--count=0'], '--count must be 1 or more, got 0'),
  ],
)
def test_own_pictures_that_cannot_be_translated_are_named(
  flags, message, paired_run, pairs, tmp_path, capsys
):
  names = {'tmp': tmp_path, 'pairs': pairs}
  with pytest.raises(SystemExit) as status:
    sample.main(
      [f'--workdir={paired_run}', *(flag.format(**names) for flag in flags)]
    )
  assert status.value.code == 2
  err = capsys.readouterr().err
  assert message.format(**names) in err
  assert 'Traceback' not in err


def test_drawings_are_inputs_of_one_channel(tmp_path, monkeypatch):
  def drawings(n):
    x, y = (np.full((n, 64, 64, channels), n, np.uint8) for channels in (1, 3))
    return data.Arrays({'x': x, 'y': y})

  monkeypatch.setattr(
    openmoji_pix2pix.data,
    'openmoji',
    lambda path, **flags: [drawings(7), drawings(3)],
  )
  config = openmoji_pix2pix.Config(path=str(tmp_path))
  source = openmoji_pix2pix.make_data(config)
  assert source[np.arange(2)]['x'].shape == (2, 64, 64, 1)
  asked = openmoji_pix2pix.make_conditions(config, 10)
  assert {name: x.shape for name, x in asked.items()} == {
    'x': (3, 64, 64, 1),
    'y': (3, 64, 64, 3),
    'index': (3,),
  }
  assert (asked['y'] == 3).all()  # those held out


def test_default_numbers_build_their_gans():
  for module in (openmoji_pix2pix, mnist_cyclegan, unpaired, paired):
    gan = module.make_gan(module.Config())
    assert [player.name for player in gan.players] == [
      'discriminator',
      'generator',
    ]
