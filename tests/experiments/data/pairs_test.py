"""Pairs: two layouts of folders, the drawings of OpenMoji, and mistakes."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from experiments import data


def _save(path, pixels, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  if not isinstance(pixels, Image.Image):
    pixels = Image.fromarray(np.asarray(pixels, np.uint8))
  pixels.save(path, **options)


def _plain(colour, width=6, height=6, mode='RGB'):
  return Image.new(mode, (width, height), colour)


def _pair(left, right, side=6):
  image = Image.new('RGB', (2 * side, side), left)
  image.paste(right, (side, 0, 2 * side, side))
  return image


def _colours(source):
  """The colour of each input and of each translation, which are plain."""
  x, y = (source.arrays[name] for name in 'xy')
  assert all((image == image[:, :1, :1]).all() for image in (x, y))
  return x[:, 0, 0].tolist(), y[:, 0, 0].tolist()


def test_side_by_side_the_input_is_on_the_left(tmp_path):
  _save(tmp_path / 'b.png', _pair((1, 2, 3), (4, 5, 6)))
  _save(tmp_path / 'deep' / 'a.PNG', _pair((7, 8, 9), (10, 11, 12), 9))
  (tmp_path / '.hidden.png').write_bytes(b'no picture')
  x, y = _colours(data.paired_folder(tmp_path, 4))
  assert (x, y) == ([[1, 2, 3], [7, 8, 9]], [[4, 5, 6], [10, 11, 12]])
  x, y = _colours(data.paired_folder(tmp_path, 4, reverse=True))
  assert (x, y) == ([[4, 5, 6], [10, 11, 12]], [[1, 2, 3], [7, 8, 9]])


def test_two_subfolders_are_paired_by_name_whatever_the_ending(tmp_path):
  _save(tmp_path / 'A' / '2.png', _plain((1, 2, 3)))
  _save(tmp_path / 'A' / 'deep' / '1.bmp', _plain((4, 5, 6), 9, 9))
  _save(tmp_path / 'B' / '2.tif', _plain((7, 8, 9), 12, 12))
  _save(tmp_path / 'B' / 'deep' / '1.gif', _plain((255, 255, 255)))
  (tmp_path / 'notes.txt').write_text('not a picture')
  (tmp_path / '.cache').mkdir()
  x, y = _colours(data.paired_folder(tmp_path, 4))
  assert x == [[1, 2, 3], [4, 5, 6]]
  assert y == [[7, 8, 9], [255, 255, 255]]
  x, _ = _colours(data.paired_folder(tmp_path, 4, reverse=True))
  assert x == [[7, 8, 9], [255, 255, 255]]


def test_a_subfolder_without_pictures_beside_the_two_is_passed_over(tmp_path):
  for name, red in (('A', 1), ('C', 7)):
    _save(tmp_path / name / '1.png', _plain((red, 2, 3), 8, 4))
  (tmp_path / 'B' / 'empty').mkdir(parents=True)
  (tmp_path / 'B' / 'notes.txt').write_text('not a picture')
  x, y = _colours(data.paired_folder(tmp_path, 4))
  assert (x, y) == ([[1, 2, 3]], [[7, 2, 3]])
  (tmp_path / 'C' / '1.png').unlink()
  (tmp_path / 'B').rename(tmp_path.parent / 'B')
  with pytest.raises(FileNotFoundError, match=r'no picture under .*C;'):
    data.paired_folder(tmp_path, 4)


def test_two_subfolders_may_be_links_with_hidden_pictures_beside_them(tmp_path):
  for name in 'AB':
    _save(tmp_path / 'there' / name / '1.png', _plain((1, 2, 3)))
    _save(tmp_path / 'here' / name / '2.png', _plain((4, 5, 6)))
    (tmp_path / 'here' / name / 'more').symlink_to(tmp_path / 'there' / name)
  (tmp_path / 'here' / '._2.png').write_bytes(b'left by a Mac')
  x, _ = _colours(data.paired_folder(tmp_path / 'here', 4))
  assert x == [[4, 5, 6], [1, 2, 3]]


def test_a_picture_that_is_not_there_is_named(tmp_path):
  _save(tmp_path / 'a.png', _pair((1, 2, 3), (4, 5, 6)))
  (tmp_path / 'b.png').symlink_to(tmp_path / 'nowhere')
  for read in (data.paired_folder, lambda path, n: data.pictures(path, n, 3)):
    with pytest.raises(ValueError, match=r'cannot read .*b\.png .*Remove it'):
      read(tmp_path, 4)


@pytest.mark.parametrize('reverse', [False, True])
def test_channels_belong_to_the_input_whichever_side_it_is_on(
  reverse, tmp_path
):
  grey, red = (40, 40, 40), (255, 0, 0)
  left, right = (red, grey) if reverse else (grey, red)
  _save(tmp_path / 'one' / 'a.png', _pair(left, right))
  _save(tmp_path / 'two' / 'A' / 'a.png', _plain(left))
  _save(tmp_path / 'two' / 'B' / 'a.png', _plain(right))
  for name in ('one', 'two'):
    pairs = data.paired_folder(tmp_path / name, 4, 1, 3, reverse)
    assert _colours(pairs) == ([[40]], [[255, 0, 0]])


def test_both_of_a_pair_lose_the_same_margins(tmp_path):
  columns = np.arange(12)[None, :, None] * np.ones((6, 1, 3))
  _save(tmp_path / 'A' / 'a.png', columns)
  _save(tmp_path / 'B' / 'a.png', columns.repeat(2, 0).repeat(2, 1))
  arrays = data.paired_folder(tmp_path, 6).arrays
  np.testing.assert_array_equal(arrays['x'][0, 0, :, 0], np.arange(3, 9))
  np.testing.assert_allclose(arrays['y'][0, 0, :, 0], np.arange(3, 9), atol=1)


@pytest.mark.parametrize(
  ('files', 'message'),
  [
    # Unpaired pictures given as paired.
    ({'x.png': (6, 6)}, r'x\.png of 6x6 cannot be split .* twice as wide'),
    ({'a.png': (8, 4), 'b.png': (9, 6)}, r'b\.png of 9x6 cannot be split'),
    (
      {'A/1.png': (6, 6), 'A/2.png': (6, 6), 'B/1.png': (6, 6)},
      r'A/2\.png has no partner 2 in .*B, and 0 more',
    ),
    (
      {'A/1.png': (6, 6), 'B/1.png': (6, 6), 'B/3.png': (6, 6)},
      r'B/3\.png has no partner 3 in .*A',
    ),
    (
      {'A/1.png': (6, 6), 'B/1.png': (6, 4)},
      r'B/1\.png of 6x4 differ in shape',
    ),
    (
      {'A/1.png': (6, 6), 'A/1.bmp': (6, 6), 'B/1.png': (6, 6)},
      r'1\.bmp and .*1\.png have one name',
    ),
  ],
)
def test_what_is_no_pair_is_named(files, message, tmp_path):
  for name, size in files.items():
    _save(tmp_path / name, _plain((0, 0, 0), *size))
  with pytest.raises(ValueError, match=message):
    data.paired_folder(tmp_path, 4)


def test_other_mistakes_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'no folder .*nowhere'):
    data.paired_folder(tmp_path / 'nowhere', 4)
  with pytest.raises(FileNotFoundError, match=r'no picture under .*; looked'):
    data.paired_folder(tmp_path, 4)
  with pytest.raises(FileNotFoundError, match='needs the path'):
    data.paired_folder('', 4)
  for numbers in ((0, 3, 3), (4, 2, 3), (4, 3, 4)):
    with pytest.raises(ValueError, match='channels of 1 or 3, got'):
      data.paired_folder(tmp_path, *numbers)
  _save(tmp_path / 'A' / '1.png', _plain((0, 0, 0)))
  (tmp_path / 'B').mkdir()
  with pytest.raises(FileNotFoundError, match=r'no picture under .*B;'):
    data.paired_folder(tmp_path, 4)
  (tmp_path / 'B' / '1.png').write_bytes(b'no picture')
  with pytest.raises(ValueError, match=r'cannot read .*B/1\.png'):
    data.paired_folder(tmp_path, 4)


def test_both_of_a_pair_are_mirrored():
  image = np.arange(2 * 3 * 3 * 4, dtype=np.uint8).reshape(2, 3, 3, 4)
  x, y = image[..., :1], image[..., 1:]
  pairs = data.mirrored(data.Arrays({'x': x, 'y': y}), 'xy')
  assert len(pairs) == 4
  got = pairs[np.array([3, 0])]
  np.testing.assert_array_equal(got['x'], [x[1, :, ::-1], x[0]])
  np.testing.assert_array_equal(got['y'], [y[1, :, ::-1], y[0]])


@pytest.mark.parametrize('reverse', [False, True])
def test_grey_of_16_bits_keeps_its_levels(reverse, tmp_path, capsys):
  levels = np.arange(36, dtype=np.uint16).reshape(6, 6)
  one, other = 1000 + levels, 65535 - levels
  _save(tmp_path / 'two' / 'A' / '1.png', Image.fromarray(one))
  _save(tmp_path / 'two' / 'B' / '1.png', Image.fromarray(other))
  both = np.concatenate([one, other], 1)
  _save(tmp_path / 'one' / '1.png', Image.fromarray(both))
  expected = [other, one] if reverse else [one, other]
  for name in ('one', 'two'):
    arrays = data.paired_folder(tmp_path / name, 6, 1, 1, reverse).arrays
    got = [arrays[side][0, ..., 0] for side in 'xy']
    np.testing.assert_array_equal(got, expected)
    assert arrays['x'].dtype == arrays['y'].dtype == np.uint16
  assert capsys.readouterr().err == ''


def test_grey_of_16_bits_may_become_colour(tmp_path):
  _save(tmp_path / 'A' / '1.png', Image.fromarray(np.full((4, 4), 777, 'u2')))
  _save(tmp_path / 'B' / '1.png', _plain((1, 2, 3), 4, 4))
  pairs = data.paired_folder(tmp_path, 4, 1, 3)
  assert _colours(pairs) == ([[777]], [[1, 2, 3]])
  dtypes = [pairs.arrays[name].dtype for name in 'xy']
  assert dtypes == [np.uint16, np.uint8]


def test_grey_of_16_bits_among_others_becomes_8(tmp_path, capsys):
  _save(tmp_path / '1.png', Image.fromarray(np.full((4, 8), 257 * 9, 'u2')))
  _save(tmp_path / '2.png', _pair((4, 4, 4), (5, 5, 5)))
  pairs = data.paired_folder(tmp_path, 4, 1, 1)
  assert _colours(pairs) == ([[9], [4]], [[9], [5]])
  assert (
    capsys.readouterr().err.count('paired_folder: 16-bit grey such as') == 1
  )
  assert data.pictures(tmp_path / '1.png', 4, 1).max() == 257 * 9
  assert data.pictures(tmp_path, 4, 1).max() == 9


@pytest.mark.parametrize(
  ('size', 'share', 'held_out'), [(20, 0.1, 2), (2, 0.1, 1), (3, 1.0, 2)]
)
def test_parts_are_disjoint_and_all(size, share, held_out):
  source = data.Arrays({'image': np.arange(size)})
  parts = data.parted(source, share)
  rows = [part[np.arange(len(part))]['image'] for part in parts]
  assert len(rows[1]) == held_out
  assert sorted(np.concatenate(rows)) == list(range(size))
  again = data.parted(source, share)
  np.testing.assert_array_equal(again[1].rows, parts[1].rows)


def test_one_example_cannot_be_parted():
  with pytest.raises(ValueError, match=r'two examples or more.*got 1'):
    data.parted(data.Arrays({'image': np.zeros(1)}), 0.1)


def test_own_pictures_to_translate(tmp_path):
  _save(tmp_path / 'b.jpg', _plain(30, 9, 6, 'L'))
  _save(tmp_path / 'a' / 'c.png', _plain((255, 0, 0)))
  one = data.pictures(tmp_path / 'b.jpg', 4, 3)
  np.testing.assert_array_equal(one, np.full((1, 4, 4, 3), 30))
  both = data.pictures(tmp_path, 4, 1)
  # Luma of red by ITU-R 601: .299 * 255.
  assert both[:, 0, 0, 0].tolist() == [76, 30]
  with pytest.raises(FileNotFoundError, match=r'no folder .*nowhere'):
    data.pictures(tmp_path / 'nowhere', 4, 3)
  (tmp_path / 'broken.png').write_bytes(b'no picture')
  with pytest.raises(ValueError, match=r'cannot read .*broken\.png'):
    data.pictures(tmp_path / 'broken.png', 4, 3)


def _drawings(path, codes, **changes):
  """A file as of OpenMoji, of 4x4 pictures that tell their number."""
  n = len(codes)
  number = np.arange(n, dtype=np.uint8)
  arrays = {
    'line': np.broadcast_to(number[:, None, None], (n, 4, 4)),
    'color': np.broadcast_to(number[:, None, None, None], (n, 4, 4, 3)),
    'hexcode': np.array(codes),
    'group': np.array(['flags' if c.startswith('1F1') else 'a' for c in codes]),
    'base': np.array(
      [not any(f'1F3F{t}' in c for t in 'BCDEF') for c in codes]
    ),
  }
  arrays |= changes
  np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
  return path


def _numbers(arrays):
  x, y = (arrays.arrays[name] for name in 'xy')
  assert (x.shape[1:], y.shape[1:]) == ((4, 4, 1), (4, 4, 3))
  assert all((image == x[:, :1, :1]).all() for image in (x, y))
  return set(x[:, 0, 0, 0].tolist())


def test_emoji_are_chosen_and_all_tones_of_one_stay_together(tmp_path):
  tones = ['1F3FB', '1F3FC', '1F3FD', '1F3FE', '1F3FF']
  hands = [f'{0x1F440 + i:X}' for i in range(16)]
  codes = [*hands, *(f'{c}-{t}' for c in hands for t in tones), *tones]
  codes += ['1F1E6-1F1E8', '261D-FE0F', '261D-1F3FB']
  codes += ['1F46B', '1F469-1F3FB-200D-1F91D-200D-1F468-1F3FF']
  path = _drawings(tmp_path / 'emoji.npz', codes)
  train, held_out = (_numbers(x) for x in data.openmoji(path, skin_tones=True))
  assert not train & held_out
  flag = codes.index('1F1E6-1F1E8')
  patches = {codes.index(tone) for tone in tones}
  assert train | held_out == set(range(len(codes))) - patches - {flag}
  families = [
    {i for i, code in enumerate(codes) if code.split('-')[0] == hand}
    for hand in hands
  ]
  families += [{codes.index(c) for c in codes[-4:-2]}]
  families += [{codes.index(c) for c in codes[-2:]}]
  assert all(family <= train or family <= held_out for family in families)
  assert len(held_out) > 0
  # Without the tones, the same emoji are held out.
  plain = [_numbers(x) for x in data.openmoji(path, flags=True)]
  toned = {i for i, code in enumerate(codes) if set(code.split('-')) & {*tones}}
  assert plain[1] - {flag} == held_out - toned
  assert flag in plain[0] | plain[1]


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'base': None}, r"has \{'line'.*needs an npz file"),
    ({'line': np.zeros((2, 4, 4, 1), np.uint8)}, r'uint8 \[2, 4, 4, 1\]'),
    ({'color': np.zeros((3, 4, 4, 3), np.uint8)}, r'uint8 \[3, 4, 4, 3\]'),
    ({'line': np.zeros((2, 4, 4))}, r'float64 \[2, 4, 4\]'),
  ],
)
def test_a_file_of_other_arrays_is_named(change, message, tmp_path):
  path = _drawings(tmp_path / 'other.npz', ['1F440', '1F441'], **change)
  with pytest.raises(ValueError, match=message):
    data.openmoji(path)


def test_a_file_that_is_none_or_damaged_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'--path= is no file; it needs'):
    data.openmoji('')
  with pytest.raises(FileNotFoundError, match=r'none\.npz is no file'):
    data.openmoji(tmp_path / 'none.npz')
  path = _drawings(tmp_path / 'emoji.npz', ['1F440', '1F441'])
  whole = path.read_bytes()
  # No archive, half of one, and one with other bits in its arrays.
  flipped = whole[:200] + bytes(255 - x for x in whole[200:210]) + whole[210:]
  for content in (b'no archive', whole[: len(whole) // 2], flipped):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'is no npz file, or a damaged one'):
      data.openmoji(path)
  np.save(tmp_path / 'one.npy', np.zeros(3))
  with pytest.raises(ValueError, match='is no npz file'):
    data.openmoji(tmp_path / 'one.npy')


def test_the_real_drawings_hold_out_a_fifth():
  shared = pathlib.Path(__file__).parents[4] / 'shared' / 'data'
  path = shared / 'openmoji' / 'openmoji64.npz'
  if not path.is_file():
    pytest.skip(f'no {path}')
  train, held_out = data.openmoji(path)
  assert train.arrays['y'].shape[1:] == (64, 64, 3)
  assert 0.17 < len(held_out) / (len(train) + len(held_out)) < 0.23
  both = [len(x) for x in data.openmoji(path, skin_tones=True, flags=True)]
  assert sum(both) == 4490  # all but five patches of skin
