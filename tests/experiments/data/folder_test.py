"""A folder of one's own pictures: modes, sizes, labels and damaged files."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from experiments.data import decode
from experiments.data.folder import folder, folder_source


def _save(path, pixels, **options):
  """Writes an image, or pixels, of whatever mode they have."""
  path.parent.mkdir(parents=True, exist_ok=True)
  if not isinstance(pixels, Image.Image):
    pixels = Image.fromarray(np.asarray(pixels))
  pixels.save(path, **options)


def _plain(mode, colour, size=(6, 6)):
  return Image.new(mode, size, colour)


def _one(tmp_path, resolution=4, channels=3):
  """Returns the only picture in the folder."""
  source, names = folder(tmp_path, resolution, channels)
  assert (len(source), names) == (1, ())
  return source.arrays['image'][0]


@pytest.mark.parametrize(
  ('name', 'mode', 'colour', 'expected'),
  [
    ('x.png', 'RGB', (10, 20, 30), (10, 20, 30)),
    ('x.PNG', 'L', 77, (77, 77, 77)),
    ('x.png', '1', 1, (255, 255, 255)),
    # Half transparent over white: 255 + (c - 255) * 128 / 255.
    ('x.png', 'RGBA', (10, 20, 30, 128), (132, 137, 142)),
    ('x.png', 'RGBA', (10, 20, 30, 0), (255, 255, 255)),
    ('x.png', 'LA', (0, 128), (127, 127, 127)),
    # 16-bit grey: 65535 is white, and 257 one step of 8 bits.
    ('x.png', 'I;16', 65535, (255, 255, 255)),
    ('x.tif', 'I;16', 257 * 100, (100, 100, 100)),
    ('x.tiff', 'I', 257 * 3, (3, 3, 3)),
    ('x.tiff', 'CMYK', (255, 0, 0, 0), (0, 255, 255)),
    ('x.bmp', 'RGB', (10, 20, 30), (10, 20, 30)),
    ('x.gif', 'RGB', (10, 20, 30), (10, 20, 30)),
    ('x.jpg', 'L', 77, (77, 77, 77)),
    ('x.JPEG', 'L', 78, (78, 78, 78)),
  ],
)
def test_every_mode_becomes_eight_bit_rgb(
  tmp_path, name, mode, colour, expected
):
  _save(tmp_path / name, _plain(mode, colour))
  image = _one(tmp_path)
  assert (image.shape, image.dtype) == ((4, 4, 3), np.uint8)
  np.testing.assert_array_equal(image, np.broadcast_to(expected, image.shape))


def test_a_palette_with_a_transparent_colour_lies_over_white(tmp_path):
  image = _plain('P', 1, (4, 4))
  image.putpalette([0, 0, 0, 200, 100, 50])
  image.paste(0, (0, 0, 4, 2))
  _save(tmp_path / 'x.png', image, transparency=0)
  got = _one(tmp_path)
  np.testing.assert_array_equal(got[:2], np.full((2, 4, 3), 255))
  np.testing.assert_array_equal(got[2:, :, 1], np.full((2, 4), 100))


def test_webp_keeps_its_pixels(tmp_path):
  _save(tmp_path / 'x.webp', _plain('RGB', (10, 20, 30)), lossless=True)
  np.testing.assert_array_equal(_one(tmp_path)[0, 0], (10, 20, 30))


def test_an_animation_gives_its_first_frame(tmp_path):
  frames = [_plain('L', value) for value in (40, 80, 120)]
  rest = {'save_all': True, 'append_images': frames[1:]}
  _save(tmp_path / 'x.gif', frames[0], **rest)
  assert _one(tmp_path, channels=1)[0, 0, 0] == 40


def test_the_central_square_is_cut_out(tmp_path):
  columns = np.arange(7, dtype=np.uint8) * np.ones((4, 1), np.uint8)
  _save(tmp_path / 'x.png', columns)
  got = _one(tmp_path, channels=1)[..., 0]
  # Of 7 columns the middle 4, one more on the right than on the left.
  np.testing.assert_array_equal(got, [[1, 2, 3, 4]] * 4)


def test_shrinking_is_antialiased(tmp_path):
  checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
  _save(tmp_path / 'x.png', checks)
  got = _one(tmp_path, resolution=8, channels=1)
  # Picking pixels would give black or white.
  assert abs(got.astype(int) - 127).max() <= 3


def test_the_exif_rotation_is_applied(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6  # To be shown turned a quarter clockwise.
  top = np.zeros((8, 8, 3), np.uint8)
  top[:4] = 255
  _save(tmp_path / 'x.png', top, exif=exif)
  got = _one(tmp_path, resolution=8)
  np.testing.assert_array_equal(got, np.rot90(top, -1))


LEVELS = (np.arange(15, dtype=np.uint16) * 4681 + 1).reshape(3, 5)


@pytest.mark.parametrize(
  ('name', 'make'),
  [
    ('x.png', Image.fromarray),
    ('x.tif', Image.fromarray),
    (
      'x.tif',  # the other order of bytes
      lambda levels: Image.frombytes('I;16B', (5, 3), levels.astype('>u2')),
    ),
    # As Pillow may hold 16 bits, in 32.
    ('x.tiff', lambda levels: Image.fromarray(levels.astype(np.int32))),
  ],
)
def test_sixteen_bit_grey_keeps_every_level(tmp_path, name, make):
  _save(tmp_path / name, make(LEVELS))
  for channels in (1, None):
    image = folder(tmp_path, (3, 5), channels)[0].arrays['image']
    assert (image.dtype, image.shape) == (np.uint16, (1, 3, 5, 1))
    np.testing.assert_array_equal(image[0, ..., 0], LEVELS)


def test_sixteen_bit_grey_is_shrunk_as_eight_bits_are_but_finer(tmp_path):
  coarse = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
  _save(tmp_path / 'coarse' / 'x.png', coarse)
  _save(tmp_path / 'fine' / 'x.png', coarse * np.uint16(257))
  eight, sixteen = (
    folder(tmp_path / name, (15, 20), 1)[0].arrays['image'].astype(float)
    for name in ('coarse', 'fine')
  )
  # Eight bits are rounded twice, once along each axis.
  assert abs(sixteen / 257 - eight).max() < 1.5
  assert (sixteen % 257 != 0).mean() > 0.9


def test_overshoot_of_sixteen_bits_is_clipped(tmp_path):
  edge = np.zeros((8, 8), np.uint16)
  edge[:, 4:] = 65535
  _save(tmp_path / 'x.png', edge)
  got = folder(tmp_path, 24, 1)[0].arrays['image'][0, 0, :, 0]
  assert (got[:9] == 0).any()
  assert (got[15:] == 65535).any()
  assert got[:12].max() < 32768 < got[12:].min()


def test_sixteen_bit_grey_among_others_becomes_eight_bits(tmp_path, capsys):
  _save(tmp_path / 'a.png', LEVELS)
  _save(tmp_path / 'b.png', _plain('L', 7, (5, 3)))
  image = folder(tmp_path, (3, 5), 1)[0].arrays['image']
  assert image.dtype == np.uint8
  np.testing.assert_array_equal(image[0, ..., 0], np.rint(LEVELS / 257))
  told = capsys.readouterr().err
  assert re.search(r'a\.png becomes 8 bits, .* such as .*b\.png\.', told)


def test_sixteen_bit_grey_in_colour_becomes_eight_bits(tmp_path, capsys):
  _save(tmp_path / 'a.png', LEVELS)
  image = folder(tmp_path, (3, 5), 3)[0].arrays['image']
  assert (image.dtype, image.shape) == (np.uint8, (1, 3, 5, 3))
  assert '1 channel keeps all levels' in capsys.readouterr().err


def test_nothing_is_said_of_eight_bits(tmp_path, capsys):
  _save(tmp_path / 'a.png', _plain('L', 7))
  folder(tmp_path, 4)
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize('offset', [-1024, 65536])
@pytest.mark.parametrize('channels', [1, 3])
def test_levels_outside_of_sixteen_bits_are_refused(tmp_path, offset, channels):
  _save(
    tmp_path / 'x.tif', np.arange(16, dtype=np.int32).reshape(4, 4) + offset
  )
  message = rf'x\.tif \(levels from {offset} to {offset + 15}; 0 to 65535 .*'
  with pytest.raises(ValueError, match=message + 'add an offset'):
    folder(tmp_path, 4, channels)


def test_sixteen_bits_are_turned_by_exif(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  _save(tmp_path / 'x.png', LEVELS, exif=exif)
  got = folder(tmp_path, (5, 3), 1)[0].arrays['image'][0, ..., 0]
  np.testing.assert_array_equal(got, np.rot90(LEVELS, -1))


@pytest.mark.parametrize(
  ('size', 'resolution', 'rows', 'columns'),
  [
    # Of 5 rows and 8 columns, by the ratio of the height to the width:
    ((5, 8), (5, 8), (0, 5), (0, 8)),
    ((5, 8), (5, 6), (0, 5), (1, 7)),
    ((5, 8), (5, 3), (0, 5), (2, 5)),
    ((5, 8), (2, 8), (1, 3), (0, 8)),
    ((5, 8), 5, (0, 5), (1, 6)),
    ((8, 5), (3, 5), (2, 5), (0, 5)),
    ((1, 8), (8, 1), (0, 1), (3, 4)),  # at least a pixel
  ],
)
def test_the_central_part_of_the_ratio_is_cut_out(
  tmp_path, size, resolution, rows, columns
):
  pixels = np.arange(40, dtype=np.uint8)[: size[0] * size[1]].reshape(size)
  _save(tmp_path / 'x.png', pixels)
  got = _one(tmp_path, resolution, channels=1)[..., 0]
  expected = pixels[slice(*rows), slice(*columns)]
  if expected.size == 1:
    expected = np.broadcast_to(expected, got.shape)
  np.testing.assert_array_equal(got, expected)


def test_another_size_of_the_ratio_is_seen_whole(tmp_path):
  halves = np.zeros((48, 64), np.uint8)
  halves[:, 32:] = 200
  _save(tmp_path / 'x.png', halves)
  got = _one(tmp_path, (6, 8), channels=1)[..., 0].astype(int)
  assert abs(got[:, [0, 1, 6, 7]] - [[0, 0, 200, 200]] * 6).max() <= 1


def test_channels_follow_the_pictures_unless_given(tmp_path):
  _save(tmp_path / 'a.png', _plain('RGB', (9, 9, 9)))
  _save(tmp_path / 'b.png', _plain('L', 5))
  grey = folder(tmp_path, 4)[0].arrays['image']
  np.testing.assert_array_equal(grey[:, 0, 0], [[9], [5]])
  _save(tmp_path / 'c.png', _plain('RGB', (255, 0, 0)))
  assert folder(tmp_path, 4)[0].arrays['image'].shape == (3, 4, 4, 3)
  # Luma of red by ITU-R 601: .299 * 255.
  one = folder(tmp_path, 4, channels=1)[0].arrays['image']
  np.testing.assert_array_equal(one[:, 0, 0], [[9], [5], [76]])


def test_a_source_has_the_pictures_of_the_folder(tmp_path):
  for i in range(30):
    colour = [(i + 1, 40, 9 * i), (3 * i, 3 * i, 3 * i)][i % 2]
    path = tmp_path / 'ab'[i % 2] / f'{i:02}.png'
    _save(path, _plain('RGB', colour, (9, 7)))
  for path, channels in ((tmp_path, 3), (tmp_path / 'b', 1)):
    arrays = folder(path, 4)[0].arrays
    source = folder_source(path, 4)
    rows = np.array([14, 0, 3, 3])
    got = source[rows]
    assert source.shape == got['image'].shape[1:] == (4, 4, channels)
    assert (len(source), set(got)) == (len(arrays['image']), set(arrays))
    for name, values in got.items():
      np.testing.assert_array_equal(values, arrays[name][rows])


def test_a_source_keeps_the_size_that_all_files_have(tmp_path):
  _save(tmp_path / 'a.png', _plain('L', 3, (7, 5)))
  _save(tmp_path / 'b.png', _plain('L', 4, (7, 5)))
  assert folder_source(tmp_path).shape == (5, 7, 1)
  _save(tmp_path / 'c.png', _plain('L', 4, (9, 5)))
  assert folder_source(tmp_path).shape == (5, 5, 1)
  assert folder_source(tmp_path, mixed=(8, 6)).shape == (8, 6, 1)
  assert folder_source(tmp_path, (4, 3)).shape == (4, 3, 1)


def test_a_source_reads_no_more_to_know_its_channels(tmp_path, monkeypatch):
  monkeypatch.setattr(decode, '_CHUNK', 2)
  _save(tmp_path / 'a.png', _plain('RGB', (9, 9, 9)))
  _save(tmp_path / 'b.png', _plain('RGB', (1, 2, 3)))
  (tmp_path / 'c.png').write_bytes(b'no picture')
  source = folder_source(tmp_path, 4)
  assert source.shape == (4, 4, 3)
  with pytest.raises(ValueError, match=r'cannot read .*c\.png'):
    source[np.array([2])]


def test_subfolders_are_labels_in_sorted_order(tmp_path):
  _save(tmp_path / 'dog' / 'a.png', _plain('L', 3))
  _save(tmp_path / 'cat' / 'z.png', _plain('L', 2))
  _save(tmp_path / 'cat' / 'deep' / 'b.png', _plain('L', 1))
  (tmp_path / 'empty').mkdir()
  source, names = folder(tmp_path, 4)
  assert names == ('cat', 'dog')
  np.testing.assert_array_equal(source.arrays['label'], [0, 0, 1])
  assert source.arrays['label'].dtype == np.int32
  np.testing.assert_array_equal(source.arrays['image'][:, 0, 0, 0], [1, 2, 3])


def test_one_subfolder_or_a_picture_beside_them_makes_no_labels(tmp_path):
  _save(tmp_path / 'cat' / 'a.png', _plain('L', 1))
  assert (folder(tmp_path, 4)[1], len(folder(tmp_path, 4)[0])) == ((), 1)
  _save(tmp_path / 'dog' / 'a.png', _plain('L', 2))
  _save(tmp_path / 'loose.png', _plain('L', 3))
  source, names = folder(tmp_path, 4)
  assert (names, set(source.arrays), len(source)) == ((), {'image'}, 3)


def test_hidden_files_and_folders_are_passed_over(tmp_path):
  _save(tmp_path / 'a.png', _plain('L', 1))
  (tmp_path / '.DS_Store').write_bytes(b'no picture')
  (tmp_path / '._a.png').write_bytes(b'no picture')
  _save(tmp_path / '.thumbnails' / 'a.png', _plain('L', 2))
  (tmp_path / 'notes.txt').write_text('no picture')
  assert len(folder(tmp_path, 4)[0]) == 1


def test_a_subfolder_may_be_a_link(tmp_path):
  _save(tmp_path / 'elsewhere' / 'a.png', _plain('L', 1))
  _save(tmp_path / 'pictures' / 'dog' / 'a.png', _plain('L', 2))
  os.symlink(tmp_path / 'elsewhere', tmp_path / 'pictures' / 'cat')
  assert folder(tmp_path / 'pictures', 4)[1] == ('cat', 'dog')


def test_a_link_to_a_folder_that_it_lies_in_is_passed_over(
  tmp_path, monkeypatch
):
  _save(tmp_path / 'pictures' / 'cat' / 'a.png', _plain('L', 1))
  _save(tmp_path / 'pictures' / 'dog' / 'a.png', _plain('L', 2))
  os.symlink(tmp_path, tmp_path / 'pictures' / 'cat' / 'up')
  os.symlink('../dog', tmp_path / 'pictures' / 'cat' / 'friend')
  os.symlink('../cat', tmp_path / 'pictures' / 'dog' / 'friend')
  monkeypatch.chdir(tmp_path)
  source, names = folder('pictures', 4)
  assert names == ('cat', 'dog')
  assert len(source) == 4  # its own and its friend's


def test_the_path_may_start_at_home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  _save(tmp_path / 'mine' / 'a.png', _plain('L', 1))
  assert len(folder('~/mine', 4)[0]) == 1


def test_more_pictures_than_a_task_takes_keep_their_order(tmp_path):
  for i in range(70):
    _save(tmp_path / f'{i:03}.png', _plain('L', i))
  got = folder(str(tmp_path), 2)[0].arrays['image'][:, 0, 0, 0]
  np.testing.assert_array_equal(got, np.arange(70))


@pytest.mark.parametrize('damage', ['truncated', 'text', 'empty'])
def test_a_damaged_picture_is_named(tmp_path, damage):
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
  _save(tmp_path / 'a.jpg', noise)
  whole = (tmp_path / 'a.jpg').read_bytes()
  content = {'truncated': whole[:600], 'text': b'hello', 'empty': b''}[damage]
  (tmp_path / 'b.jpg').write_bytes(content)
  with pytest.raises(ValueError, match=r'cannot read .*b\.jpg .*Remove it'):
    folder(tmp_path, 4)


@pytest.mark.parametrize('channels', [None, 1, 3])
def test_floating_point_pixels_are_refused(tmp_path, channels):
  _save(tmp_path / 'a.png', LEVELS)
  _save(tmp_path / 'x.tif', np.full((4, 4), 0.5, np.float32))
  with pytest.raises(ValueError, match=r'x\.tif .*8 or 16 bits'):
    folder(tmp_path, 4, channels)


def test_a_path_without_pictures_is_told_from_no_path(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'no picture .*\.png \.jpg'):
    folder(tmp_path, 4)
  with pytest.raises(FileNotFoundError, match=r'no folder .*nowhere'):
    folder(tmp_path / 'nowhere', 4)
  with pytest.raises(FileNotFoundError, match='needs the path'):
    folder('', 4)
  _save(tmp_path / 'x.png', _plain('L', 1))
  with pytest.raises(NotADirectoryError, match=r'x\.png is a file'):
    folder(tmp_path / 'x.png', 4)


def test_arguments_out_of_range_are_refused(tmp_path):
  with pytest.raises(ValueError, match='channels=2'):
    folder(tmp_path, 4, channels=2)
  with pytest.raises(ValueError, match='resolution=0'):
    folder(tmp_path, 0)
  with pytest.raises(ValueError, match=r'resolution=\(4, 0\)'):
    folder(tmp_path, (4, 0))


def test_too_many_sixteen_bits_for_memory_are_refused(tmp_path):
  _save(tmp_path / 'x.png', LEVELS)
  with pytest.raises(
    ValueError, match=r'1 pictures of 65536x131072x1 take 16\.0 GiB.* 8 GiB'
  ):
    folder(tmp_path, (65536, 131072), 1)


@pytest.mark.parametrize('channels', [None, 1, 3])
def test_what_does_not_fit_into_memory_stays_in_its_files(
  tmp_path, channels, monkeypatch
):
  draw = np.random.default_rng(0)
  for i in range(5):
    pixels = draw.integers(0, 256, (6, 7), np.uint8)
    _save(tmp_path / 'ab'[i % 2] / f'{i}.png', pixels)
  held, names = folder(tmp_path, 4, channels)
  monkeypatch.setattr(decode, 'MAX_BYTES', 5 * 4 * 4 - 1)
  source, same = folder(tmp_path, 4, channels)
  assert not hasattr(source, 'arrays')
  assert same == names
  rows = np.array([3, 0, 4])
  for name, values in held[rows].items():
    np.testing.assert_array_equal(source[rows][name], values)
