"""Everything that touches disk, clock and devices: the commands, their data."""
