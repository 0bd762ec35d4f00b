"""jgan's training step against PyTorch's: the same games, written twice."""
