"""
A Gaussian process with uncertainties
=====================================

The progression of diabetes against the body mass index, for 442 patients: the Bayesian infinitely wide network, with
hyper-parameters by marginal likelihood.
"""

import numpy as np
from sklearn.datasets import load_diabetes

import ntk_array as ntk

data = load_diabetes(scaled=False)
bmi, progression = data.data[:, 2], data.target
x = ((bmi - bmi.mean()) / bmi.std())[:, None]

# %%
# The prior is that of a network with two hidden layers of erf units. The noise and the scales of weights and biases are
# chosen by the likelihood of the data.

nngp = ntk.InfiniteNNGP(ntk.nn.mlp((1, 1), 1, activation="erf", weight_std=1.5, bias_std=0.5))
model = ntk.dynamics.GaussianProcess(nngp, x, progression, noise=0.5, normalize_y=True)
chosen = ntk.dynamics.select_hyperparameters(model, by="marginal_likelihood")
chosen

# %%
# The band is about the function, that is the mean progression at a body mass index. Single patients scatter around it
# by the noise. Where there are few patients the band is wide.

grid = np.linspace(x.min() - 0.7, x.max() + 0.7, 200)[:, None]
prediction = chosen.model.predict(grid, covariance="diagonal")
ax = prediction.plot(grid, observed=(x, progression))
ax.set(xlabel="body mass index, in standard deviations", ylabel="progression after a year", title="442 patients")

# %%
# Each patient predicted from all others, without a refit: the share that lies within two standard deviations, noise
# included. A Gaussian has 95 %.

left_out = chosen.model.leave_one_out()
print(f"{np.mean(np.abs(left_out.residual) < 2 * np.sqrt(left_out.variance)):.1%} within two standard deviations")
