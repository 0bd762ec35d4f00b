"""Clips of one's own: animations, folders of frames, and what is wrong."""

import numpy as np
import pytest
from PIL import Image

from experiments.data.clips import clips


def save_gif(path, levels, size=(6, 6)):
  """An animation whose frames are plain, of these levels of grey."""
  path.parent.mkdir(parents=True, exist_ok=True)
  first, *rest = [Image.new('L', size, level) for level in levels]
  first.save(path, save_all=True, append_images=rest, duration=50)


def save_frames(folder, levels, size=(6, 6)):
  folder.mkdir(parents=True)
  for i, level in enumerate(levels):
    Image.new('L', size, level).save(folder / f'{i:03}.png')


def levels(source, i):
  """Of the frames of an example, which must be plain."""
  video = source[np.array([i])]['video'][0]
  assert (video == video[:, :1, :1, :1]).all()
  return video[:, 0, 0, 0].tolist()


def test_every_run_of_frames_is_an_example(tmp_path):
  save_gif(tmp_path / 'a.gif', [10, 20, 30, 40])
  save_frames(tmp_path / 'deep' / 'b', [50, 60, 70])
  save_gif(tmp_path / 'c.gif', [80, 90])
  source = clips(tmp_path, frames=2, resolution=4)
  assert len(source) == 3 + 1 + 2
  got = [levels(source, i) for i in range(6)]
  # Sorted by path: a.gif, c.gif, deep/b.
  assert got == [[10, 20], [20, 30], [30, 40], [80, 90], [50, 60], [60, 70]]
  together = source[np.array([5, 0, 3])]['video']
  assert (together.shape, together.dtype) == ((3, 2, 4, 4, 3), np.uint8)
  assert together[:, 0, 0, 0, 0].tolist() == [60, 10, 80]


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
  names = ['9', '10', '100', 'a1b9', 'a1b10', 'a02', 'a2', 'a10']
  for level, name in enumerate(names):
    Image.new('L', (4, 4), level).save(tmp_path / f'{name}.png')
  assert levels(clips(tmp_path, 8, 4), 0) == list(range(8))


def test_grey_and_the_central_square(tmp_path):
  wide = np.zeros((4, 12), np.uint8)
  wide[:, 4:8] = 200
  for name in ('0.png', '1.png'):
    Image.fromarray(wide).save(tmp_path / name)
  source = clips(tmp_path, frames=2, resolution=4, channels=1)
  video = source[np.array([0])]['video']
  np.testing.assert_array_equal(video, np.full((1, 2, 4, 4, 1), 200))


def test_colours_and_transparency_over_white(tmp_path):
  frames = [
    Image.new('RGBA', (5, 5), colour)
    for colour in ((200, 0, 0, 255), (0, 0, 0, 0))
  ]
  for i, frame in enumerate(frames):
    frame.save(tmp_path / f'{i}.png')
  video = clips(tmp_path, 2, 5)[np.array([0])]['video'][0]
  assert video[0, 0, 0].tolist() == [200, 0, 0]
  assert video[1, 0, 0].tolist() == [255, 255, 255]


def test_frames_are_turned_as_their_exif_says(tmp_path):
  exif = Image.Exif()
  exif[0x112] = 6  # to be turned clockwise
  pixels = np.array([[200, 200], [0, 0]], np.uint8)
  Image.fromarray(pixels).save(tmp_path / 'a.png', exif=exif)
  video = clips(tmp_path, 1, 2, channels=1)[np.array([0])]['video']
  assert video[0, 0, ..., 0].tolist() == [[0, 200], [0, 200]]


def test_hidden_files_are_passed_over(tmp_path):
  save_gif(tmp_path / 'a.gif', [10, 20])
  (tmp_path / '.x.gif').write_bytes(b'nothing')
  save_frames(tmp_path / '.hidden', [1])
  assert len(clips(tmp_path, 2, 4)) == 1


def test_mistakes_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='needs the path of a folder'):
    clips('', 2, 4)
  with pytest.raises(FileNotFoundError, match='there is no folder'):
    clips(tmp_path / 'no', 2, 4)
  (tmp_path / 'empty').mkdir()
  with pytest.raises(FileNotFoundError, match=r'no clip under.*\.gif.*\.png'):
    clips(tmp_path / 'empty', 2, 4)
  save_gif(tmp_path / 'short' / 'a.gif', [10, 20, 30])
  with pytest.raises(ValueError, match=r'a\.gif has 3 frames.*clips of 4'):
    clips(tmp_path / 'short', 4, 4)
  save_frames(tmp_path / 'one', [10])
  with pytest.raises(ValueError, match=r'one has 1 frame, and clips of 4'):
    clips(tmp_path / 'one', 4, 4)
  with pytest.raises(NotADirectoryError, match=r'a\.gif is a file'):
    clips(tmp_path / 'short' / 'a.gif', 2, 4)
  with pytest.raises(ValueError, match='channels of 1 or 3'):
    clips(tmp_path / 'short', 2, 4, channels=2)
  save_frames(tmp_path / 'mixed' / 'a', [1, 2])
  Image.new('L', (9, 6)).save(tmp_path / 'mixed' / 'a' / 'x.png')
  with pytest.raises(ValueError, match='frames of 6x6 and 9x6 pixels'):
    clips(tmp_path / 'mixed', 2, 4)
  (tmp_path / 'bad').mkdir()
  (tmp_path / 'bad' / 'a.gif').write_bytes(b'GIF89a but no more')
  with pytest.raises(ValueError, match=r'cannot read .*a\.gif'):
    clips(tmp_path / 'bad', 2, 4)
