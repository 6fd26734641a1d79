"""
From finite networks to the limit: how fast?
============================================

The kernels of random networks of growing width, and their distance from the infinite-width kernel, on handwritten
digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import ntk_array as ntk

x = load_digits(return_X_y=True)[0][:24] / 16.0


def network(width, depth):
    return ntk.nn.mlp((width,) * depth, 1, bias_std=0.1)


# %%
# One row of the kernel matrix: five networks of each of two widths, and the limit. Wide networks scatter less.

with plt.rc_context(ntk.plotting.STYLE):
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2), sharey=True, layout="constrained")
for width, ax in zip((64, 1024), axes, strict=True):
    for seed in range(5):
        net = network(width, 2)
        ax.plot(ntk.EmpiricalNTK(net, net.init(seed, like=x), outputs="trace")(x[:1], x)[0], lw=0.8, color="#7fb3d5")
    ax.plot(ntk.InfiniteNTK(net)(x[:1], x)[0], "k.", label="infinite width")
    ax.set(title=f"width {width}", xlabel="input")
axes[0].set_ylabel("kernel with the first input")
axes[0].legend()

# %%
# The experiment behind it draws networks of several widths and depths, and fits a power law to their relative error.

result = ntk.experiments.kernel_concentration(network, x, (32, 64, 128, 256, 512), depths=(1, 2, 3), draws=15)
result

# %%
# Exponents with intervals of 95 %, beside that of an average of independent terms.

laws = {name.split(", ")[1]: law for name, law in result.laws.items() if name.startswith("frobenius")}
ax = ntk.plotting.exponents(laws)
ax.set_title("error of the kernel at initialization")
np.testing.assert_array_less([law.exponent for law in laws.values()], -0.4)
