"""
What is learned when
====================

Gradient flow learns along each principal component of the kernel by itself, as exp(-2 mu t). So the eigenvalues, and
where the targets lie, say in advance what training does. Breast cancer data, 569 patients, 30 features.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import ntk_array as ntk

x, label = load_breast_cancer(return_X_y=True)
x = (x - x.mean(axis=0)) / x.std(axis=0)
y = np.where(label == 1, 1.0, -1.0)
x_train, x_new, y_train, y_new = x[:400], x[400:], y[:400], y[400:]

p_in = ntk.function_space.EmpiricalMeasure(x_train)
cost = ntk.function_space.SquaredError(p_in, y_train)
kernel = ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 1))
spectrum = ntk.dynamics.KernelSpectrum(kernel, p_in)

# %%
# Eigenvalues, and beside them the share of the labels that lies along each component: most of it is in a few leading
# ones, which are learned first.

ax = spectrum.plot(label="eigenvalue")
share = spectrum.explained(y_train)
ax.plot(np.arange(1, len(share) + 1), share, ".", ms=3, color="#e67e22", label="share of the labels")
ax.set_ylim(1e-9, None)
ax.legend()
print(f"{share[:10].sum():.0%} of the labels are along ten of {len(share)} components")

# %%
# The error on the training set and on others, over time. What is left of the labels at time t is known from the
# spectrum alone, without a prediction: the dots.

times = np.geomspace(0.01, 1e5, 40)
flow = ntk.dynamics.GradientFlow(kernel, cost)
train, test = (flow.predict(inputs, t=times) for inputs in (x_train, x_new))
with plt.rc_context(ntk.plotting.STYLE):
    figure, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
ax.plot(times, np.mean((train - y_train) ** 2, axis=1), label="training set")
ax.plot(times, np.mean((test - y_new) ** 2, axis=1), label="169 other patients")
ax.plot(times, spectrum.remaining(cost, t=times) ** 2 @ share, "k.", ms=4, label="training set, by the spectrum")
ax.set(xscale="log", yscale="log", xlabel="time t", ylabel="mean squared error")
ax.legend()
