"""The experiment in scikit-learn, which writes no log."""

import time

import numpy as np
from sklearn.neural_network import MLPClassifier

np.random.seed(0)
x = np.random.rand(100, 2) * 2 - 1
y = (x[:, 0] + x[:, 1] > 0).astype(int)

net = MLPClassifier(
    (4,),
    solver="sgd",
    learning_rate_init=0.1,
    momentum=0,
    alpha=0,
    batch_size=100,
    max_iter=1000,
    tol=0,
    n_iter_no_change=1000,
    random_state=0,
)
began = time.perf_counter()
net.fit(x, y)
print(time.perf_counter() - began)
