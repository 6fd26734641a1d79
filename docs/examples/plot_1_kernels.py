"""
What a kernel sees: digits, by class and by component
=====================================================

The infinite-width NTK of 300 handwritten digits, as a heat map and as eigenvalues.
"""

import numpy as np
from sklearn.datasets import load_digits

import ntk_array as ntk

x, digit = load_digits(return_X_y=True)
x, digit = x[:300] / 16.0, digit[:300]

# %%
# A kernel matrix with the inputs sorted by class. The kernel has seen no labels: squares along the diagonal are digits
# that look alike. Values are divided by sqrt(K(x, x) K(x', x')), so that the diagonal is 1.

theta = ntk.InfiniteNTK(ntk.nn.mlp((1, 1, 1), 1))(x)
size = np.sqrt(np.diag(theta))
ax = ntk.plotting.gram(theta / np.outer(size, size), labels=digit)
ax.set_title("NTK of three hidden ReLU layers")

# %%
# Deeper networks have flatter spectra: training learns small components sooner, as far as the leading ones allow. The
# kernels are scaled to a mean diagonal of 1, and the eigenvalues are those on the sample, mu_k.

p_in = ntk.function_space.EmpiricalMeasure(x)
ax = None
for depth in (1, 3, 10):
    kernel = ntk.InfiniteNTK(ntk.nn.mlp((1,) * depth, 1))
    scaled = (1.0 / float(np.mean(kernel.diag(x)))) * kernel
    ax = ntk.dynamics.KernelSpectrum(scaled, p_in).plot(label=f"{depth} hidden layers", ax=ax)
ax.set_title("eigenvalues on 300 digits")
