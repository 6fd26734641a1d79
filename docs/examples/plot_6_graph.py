"""
Nodes of a graph, from two labels
=================================

Zachary's karate club (1977): 34 members, 78 friendships, and two sides after a quarrel between the instructor and the
president. Given these two, which side does each other member take? The kernel of a graph network tells by who their
friends are.
"""

import matplotlib.pyplot as plt
import numpy as np

import ntk_array as ntk

FRIENDS = {
    0: (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31),
    1: (2, 3, 7, 13, 17, 19, 21, 30),
    2: (3, 7, 8, 9, 13, 27, 28, 32),
    3: (7, 12, 13),
    4: (6, 10),
    5: (6, 10, 16),
    6: (16,),
    8: (30, 32, 33),
    9: (33,),
    13: (33,),
    14: (32, 33),
    15: (32, 33),
    18: (32, 33),
    19: (33,),
    20: (32, 33),
    22: (32, 33),
    23: (25, 27, 29, 32, 33),
    24: (25, 27, 31),
    25: (31,),
    26: (29, 33),
    27: (33,),
    28: (31, 33),
    29: (32, 33),
    30: (32, 33),
    31: (32, 33),
    32: (33,),
}
INSTRUCTOR, PRESIDENT = 0, 33
with_instructor = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 16, 17, 19, 21]
side = np.where(np.isin(np.arange(34), with_instructor), 1.0, -1.0)

adjacency = np.eye(34)
for member, friends in FRIENDS.items():
    adjacency[member, friends] = adjacency[friends, member] = 1.0

# %%
# A node is the graph of its surroundings, with itself first: all members within two steps, since the network has two
# aggregations. Members have no features but their names.

near = [np.flatnonzero(row) for row in adjacency @ adjacency]
near = [np.concatenate([[node], own[own != node]]) for node, own in enumerate(near)]
names = np.eye(34)
nodes = ntk.nn.graphs(
    [names[own] for own in near], [adjacency[np.ix_(own, own)] for own in near], normalize="symmetric"
)
kernel = ntk.InfiniteNTK(ntk.nn.gnn((1, 1), 1, pooling="root"))
theta = kernel(nodes)

# %%
# Kernel regression from two labels.

known = [INSTRUCTOR, PRESIDENT]
p_in = ntk.function_space.EmpiricalMeasure(np.asarray(known, dtype=float)[:, None])
flow = ntk.dynamics.GradientFlow(ntk.Precomputed(theta), ntk.function_space.SquaredError(p_in, side[known]))
guess = flow.predict(np.arange(34.0)[:, None])
right = np.sign(guess) == side
print(f"{right.sum()} of 34 members are on the side that the kernel tells")

# %%
# Members are placed by the second and third component of the kernel; circles are filled with what is predicted, squares
# are the two known members, and a red ring marks a wrong side.

values, vectors = np.linalg.eigh(theta / np.sqrt(np.outer(np.diag(theta), np.diag(theta))))
place = vectors[:, [-2, -3]]
with plt.rc_context({**ntk.plotting.STYLE, "axes.grid": False}):
    figure, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
for member, friends in FRIENDS.items():
    for friend in friends:
        ax.plot(*place[[member, friend]].T, color="#cccccc", lw=0.6, zorder=0)
for node in range(34):
    marker = "s" if node in known else "o"
    ring = "black" if right[node] else "red"
    shade = plt.get_cmap("coolwarm")(0.5 + 0.5 * guess[node])
    ax.plot(*place[node], marker, ms=13, mfc=shade, mec=ring, mew=1.0 if right[node] else 2.0)
    ax.annotate(str(node), place[node], ha="center", va="center", fontsize=7)
ax.set_axis_off()
