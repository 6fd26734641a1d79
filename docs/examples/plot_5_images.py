"""
Convolutional kernels on few images
===================================

How much do convolutions and pooling help where there are few examples? Handwritten digits of 8 x 8 pixels, ten to
eighty of them to learn from.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import ntk_array as ntk

data = load_digits()
order = np.random.default_rng(0).permutation(len(data.target))
images, digit = data.images[order, :, :, None] / 16.0, data.target[order]
onehot = np.eye(10)[digit] - 0.1

# %%
# Three infinitely wide networks of two hidden layers. The first has pixels for features and knows no neighbours; the
# second has convolutions of 3 x 3 and a readout for each position; the third reads out the mean over positions.

kernels = {
    "perceptron": (ntk.InfiniteNTK(ntk.nn.mlp((1, 1), 10)), lambda x: x.reshape(len(x), -1)),
    "convolutions": (ntk.InfiniteNTK(ntk.nn.cnn((1, 1), 10, pooling="flatten")), lambda x: x),
    "convolutions, mean over positions": (ntk.InfiniteNTK(ntk.nn.cnn((1, 1), 10)), lambda x: x),
}

# %%
# The kernel of all images is computed once. `Precomputed` makes a kernel of the matrix, whose inputs are row numbers.

counts, rows = (10, 20, 40, 80), np.arange(200.0)[:, None]
with plt.rc_context(ntk.plotting.STYLE):
    figure, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
for name, (kernel, shaped) in kernels.items():
    known = ntk.Precomputed(kernel(shaped(images[:200])))
    accuracy = []
    for count in counts:
        p_in = ntk.function_space.EmpiricalMeasure(rows[:count])
        flow = ntk.dynamics.GradientFlow(known, ntk.function_space.SquaredError(p_in, onehot[:count]), ridge=1e-3)
        accuracy.append(np.mean(flow.predict(rows[80:]).argmax(axis=1) == digit[80:200]))
    ax.plot(counts, accuracy, "o-", label=name)
ax.set(xscale="log", xlabel="images to learn from", ylabel="accuracy on 120 others")
ax.set_xticks(counts, [str(count) for count in counts])
ax.minorticks_off()
ax.legend()
