"""
Training of wide networks: the prediction, its band, and networks
=================================================================

At infinite width the output of a trained network is Gaussian over initializations, at every time. Here are that
prediction and six real networks, on threes and eights of the bundled handwritten digits.
"""

import numpy as np
from sklearn.datasets import load_digits

import ntk_array as ntk

x, digit = load_digits(return_X_y=True)
chosen = np.isin(digit, (3, 8))
x, y = x[chosen] / 16.0, np.where(digit[chosen] == 8, 1.0, -1.0)
x_train, y_train, x_new, y_new = x[:40], y[:40], x[60:63], y[60:63]

# %%
# The prediction needs the network's architecture only, no width and no parameters.

width, steps = 256, 600
net = ntk.nn.mlp((width, width), 1, activation="erf", weight_std=1.5, bias_std=0.1)
cost = ntk.function_space.SquaredError(ntk.function_space.EmpiricalMeasure(x_train), y_train)
step = 0.5 * ntk.dynamics.max_step(ntk.InfiniteNTK(net), x_train)
recorded = np.unique(np.geomspace(1, steps, 25).astype(int))
predicted = ntk.dynamics.Ensemble.of(net, cost).predict(x_new, t=step * recorded, covariance="diagonal")

# %%
# Six networks, trained by gradient descent; each starts from its own random parameters.

outputs = []
for seed in range(6):
    training = ntk.nn.train(
        net,
        net.init(seed, like=x_train),
        cost,
        step=step,
        steps=steps,
        record=recorded,
        observe=lambda params: net(params, x_new)[:, 0],
    )
    outputs.append(training.observations)

# %%
# Lines and bands: the predicted mean and two standard deviations. Thin lines: the networks.

ax = predicted.plot(step * recorded)
for network in outputs:
    for m, path in enumerate(np.asarray(network).T):
        ax.plot(step * recorded, path, color=f"C{m}", lw=0.5, alpha=0.6)
ax.set_title(f"three held-out digits; labels {', '.join(f'{label:+.0f}' for label in y_new)}")
