"""The experiment by hand in NumPy, without log or checkpoints: a lower bound of the time."""

import time

import numpy as np

rng = np.random.RandomState(0)
x = rng.rand(100, 2) * 2 - 1
y = (x[:, :1] + x[:, 1:] > 0).astype(float)
w1, b1 = rng.uniform(-1, 1, (2, 4)) / 2**0.5, np.zeros(4)
w2, b2 = rng.uniform(-1, 1, (4, 1)) / 2, np.zeros(1)

losses = []
began = time.perf_counter()
for _ in range(1000):
    hidden = np.maximum(x @ w1 + b1, 0)
    p = 1 / (1 + np.exp(-(hidden @ w2 + b2)))
    losses.append(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
    output_error = (p - y) / len(x)
    hidden_error = (output_error @ w2.T) * (hidden > 0)
    w2 -= 0.1 * (hidden.T @ output_error)
    b2 -= 0.1 * output_error.sum(0)
    w1 -= 0.1 * (x.T @ hidden_error)
    b1 -= 0.1 * hidden_error.sum(0)
print(time.perf_counter() - began)
