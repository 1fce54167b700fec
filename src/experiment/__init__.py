"""Experiments with PyTorch Lightning and Hydra: runs, sweeps, and views of backpropagation."""
