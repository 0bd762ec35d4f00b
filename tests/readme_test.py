"""The README's Python runs as it stands, one block after the other."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / 'README.md'


def test_python_blocks_run():
  blocks = re.findall(r'```python\n(.*?)```', README.read_text(), re.DOTALL)
  assert len(blocks) == 4
  names = {}
  for block in blocks:
    exec(block, names)
  assert names['images'].shape == (16, 32, 32, 1)
  batch = {'image': names['jnp'].zeros((8, 28, 28, 1))}
  jgan, key = names['jgan'], names['jax'].random.key(1)
  state = jgan.init(names['gan'], key, batch)
  state, _ = jgan.train_step(names['gan'], state, batch, key)
  assert int(state.step) == 1
